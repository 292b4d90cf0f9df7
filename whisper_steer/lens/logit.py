"""The logit lens (nostalgebraist 2020) on Whisper's decoder: what each block would write if it were the last.

The residual stream behind a block goes through the decoder's last layer norm and its embedding. Probabilities are over
the whole vocabulary, before Whisper's rules on timestamps and forbidden tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.models.hooks import hook_points, read_decoder

TOP = 5
"""tokens that are named"""


@dataclass(frozen=True)
class LogitLens:
    """Of the T tokens written in a window, by the decoder's blocks."""

    top: np.ndarray
    """(blocks, T, TOP) int64: ids of the likeliest tokens"""
    top_probability: np.ndarray
    """(blocks, T, TOP) float32"""
    probability: np.ndarray
    """(blocks, T) float32, of the written token"""
    rank: np.ndarray
    """(blocks, T) int64: tokens that are likelier than the written one; 0 is the first"""
    entropy: np.ndarray
    """(blocks, T) float32, nats"""

    @property
    def first_block(self) -> np.ndarray:
        """(T,) int64: from which block on the written token is the first, without a break up to the last block; the
        number of blocks where it is not even there, as where a rule forbade what was likelier."""
        settled = np.cumprod((self.rank == 0)[::-1], axis=0).sum(axis=0)
        return np.asarray(len(self.rank) - settled)


@torch.no_grad()
def block_logits(model: Whisper, hidden: Tensor) -> Tensor:
    """Residual stream (..., n_state) of a decoder's block -> logits (..., vocabulary) float32."""
    normed: Tensor = model.decoder.ln(hidden)
    return (normed @ model.decoder.token_embedding.weight.to(normed.dtype).T).float()


@torch.no_grad()
def logit_lens(model: Whisper, features: Tensor, initial: Sequence[int], written: Sequence[int]) -> LogitLens:
    """Of the tokens ``written`` behind ``initial`` ones, on a window's encoder output (1500, n_state)."""
    points = hook_points(model.decoder)[:-1]
    tokens = [*initial, *written]
    hidden = read_decoder(model.decoder, features, tokens[:-1], points)
    chosen = torch.tensor(list(written), device=features.device)[:, None]
    columns: list[list[np.ndarray]] = []
    for point in points:
        logprobs = block_logits(model, hidden[point][len(initial) - 1 :]).log_softmax(dim=-1)
        own = logprobs.gather(1, chosen)
        top = logprobs.topk(TOP, dim=-1)
        entropy = -(logprobs.exp() * logprobs).nan_to_num(0.0).sum(dim=-1)
        rank = (logprobs > own).sum(dim=-1)
        found = (top.indices, top.values.exp(), own[:, 0].exp(), rank, entropy)
        columns.append([each.cpu().numpy() for each in found])
    return LogitLens(*(np.stack(each) for each in zip(*columns, strict=True)))
