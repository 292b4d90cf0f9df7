"""Where the heads of the decoder's cross-attention look, read by hooks on their queries and keys.

openai-whisper's own way, `whisper.model.disable_sdpa`, changes how every model in the process computes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from whisper.model import Whisper

from whisper_steer.models.hooks import read_decoder

FRAME_SECONDS = 0.02
"""of the encoder's output"""


@torch.no_grad()
def cross_attention(
    decoder: nn.Module, features: Tensor, tokens: Sequence[int], blocks: Sequence[int]
) -> dict[int, Tensor]:
    """Of each of ``blocks``, attention (heads, tokens, 1500) float32 of openai-whisper's decoder at each of its tokens,
    on a window's encoder output (1500, n_state); rows sum to 1."""
    heads: int = decoder.get_submodule("blocks.0.cross_attn").n_head  # type: ignore[assignment]
    points = [f"blocks.{block}.cross_attn.{part}" for block in blocks for part in ("query", "key")]
    found = read_decoder(decoder, features, tokens, points)
    weights = {}
    for block, query, key in zip(blocks, points[::2], points[1::2], strict=True):
        q, k = (found[part].unflatten(-1, (heads, -1)).transpose(0, 1).float() for part in (query, key))
        weights[block] = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(dim=-1)
    return weights


def alignment_heads(model: Whisper) -> list[tuple[int, int]]:
    """(block, head) pairs that openai-whisper names for word timestamps; where it names none for a checkpoint, all of
    the second half of the blocks."""
    return [(block, head) for block, head in model.alignment_heads.coalesce().indices().T.tolist()]


__all__ = ["FRAME_SECONDS", "alignment_heads", "cross_attention"]
