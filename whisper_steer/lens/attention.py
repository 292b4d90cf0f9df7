"""Where the heads of the cross-attention look while each token is written, and the time of each token by it.

The weights are made from the queries and keys that hooks read. openai-whisper's own way, `disable_sdpa`, changes how
every model in the process computes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.lens.passes import decoder_activations

COLUMNS = 100
"""of a pooled window"""
FRAME_SECONDS = 0.02


@torch.no_grad()
def cross_attention(
    model: Whisper, features: Tensor, initial: Sequence[int], written: Sequence[int]
) -> list[Tensor]:
    """Of each block, attention (heads, T, 1500) float32 of the positions that wrote the T tokens; rows sum to 1."""
    n_blocks, heads = model.dims.n_text_layer, model.dims.n_text_head
    parts = [f"blocks.{i}.cross_attn.{part}" for i in range(n_blocks) for part in ("query", "key")]
    found = decoder_activations(model, features, [*initial, *written][:-1], parts)
    weights = []
    for query, key in zip(parts[::2], parts[1::2], strict=True):
        q, k = (found[part].unflatten(-1, (heads, -1)).transpose(0, 1).float() for part in (query, key))
        scores = q[:, len(initial) - 1 :] @ k.transpose(1, 2) / q.shape[-1] ** 0.5
        weights.append(scores.softmax(dim=-1))
    return weights


def pooled(weights: Sequence[Tensor]) -> np.ndarray:
    """(blocks, heads, T, COLUMNS) float32: the attention on the frames of each column together."""
    return np.stack([each.unflatten(-1, (COLUMNS, -1)).sum(dim=-1).cpu().numpy() for each in weights])


def alignment_heads(model: Whisper) -> list[tuple[int, int]]:
    """(block, head) of those that openai-whisper names for word timestamps; where it names none for a checkpoint,
    all of the second half of the blocks."""
    return [(int(block), int(head)) for block, head in model.alignment_heads.indices().T]


def token_frames(model: Whisper, weights: Sequence[Tensor], seconds: float) -> np.ndarray:
    """The frame of 20 ms (T,) int64 at which each token is written.

    The path that never goes back and on which the alignment heads look most, each head's attention brought to mean 0
    and variance 1 over the tokens as openai-whisper does for word timestamps. ``seconds`` of audio in the window.
    """
    heads = torch.stack([weights[block][head] for block, head in alignment_heads(model)])
    heads = heads[:, :, : max(1, round(seconds / FRAME_SECONDS))]
    deviation, mean = torch.std_mean(heads, dim=1, keepdim=True, correction=0)
    score = ((heads - mean) / (deviation + 1e-6)).mean(dim=0).cpu().numpy()
    return best_path(score)


def best_path(score: np.ndarray) -> np.ndarray:
    """Columns (T,) int64, never falling, one for each row of scores (T, n), whose sum is the largest."""
    best = np.zeros_like(score)
    for i, row in enumerate(score):
        best[i] = row + (np.maximum.accumulate(best[i - 1]) if i else 0)
    path = np.zeros(len(score), np.int64)
    end = score.shape[1]
    for i in range(len(score) - 1, -1, -1):
        path[i] = best[i, :end].argmax()
        end = path[i] + 1
    return path
