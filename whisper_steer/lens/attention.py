"""Where the heads of the cross-attention look while each token is written, and the time of each token by it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.models.attention import FRAME_SECONDS, alignment_heads, cross_attention

COLUMNS = 100
"""of a pooled window"""


def writing(model: Whisper, features: Tensor, initial: Sequence[int], written: Sequence[int]) -> list[Tensor]:
    """Of each block, attention (heads, T, 1500) float32 of the positions that wrote the T tokens; rows sum to 1."""
    given, blocks = [*initial, *written][:-1], range(model.dims.n_text_layer)
    found = cross_attention(model.decoder, features, given, blocks)
    return [found[block][:, len(initial) - 1 :] for block in blocks]


def pooled(weights: Sequence[Tensor]) -> np.ndarray:
    """(blocks, heads, T, COLUMNS) float32: the attention on the frames of each column together."""
    return np.stack([each.unflatten(-1, (COLUMNS, -1)).sum(dim=-1).cpu().numpy() for each in weights])


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
