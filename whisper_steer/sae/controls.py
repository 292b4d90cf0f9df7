"""Controls of arXiv 2602.14111: SAEs of which a part stays random while all else is as in the trained one.

A control has the same draws to start from, the same batches in the same order, the same settings, schedule and
auxiliary loss as the trained SAE beside it in a `whisper_steer.sae.stack.Stack`. What differs is its definition:

- ``soft-frozen``: decoder directions stay at cosine 0.8 or more to their start;
- ``frozen-decoder``: decoder directions stay at their start, which has the covariance of the inputs: the same draws,
  coloured by it;
- ``frozen-encoder``: encoder weights and biases stay at their start.
"""

from __future__ import annotations

import torch
from torch import Tensor

COSINE = 0.8


def turn_back(directions: Tensor, start: Tensor) -> Tensor:
    """Unit directions (..., state), each at cosine COSINE or more with its start (..., state)."""
    directions = directions / directions.norm(dim=-1, keepdim=True)
    cosine = (directions * start).sum(dim=-1, keepdim=True)
    across = directions - cosine * start
    across = across / across.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    limited = COSINE * start + (1 - COSINE**2) ** 0.5 * across
    return torch.where(cosine < COSINE, limited, directions)


def coloured(draws: Tensor, x: Tensor) -> Tensor:
    """Unit directions (n, n_state) with the covariance of inputs (frames, n_state), from standard normal draws."""
    values, vectors = torch.linalg.eigh(torch.cov(x.double().T))
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    found = draws.double() @ root
    return (found / found.norm(dim=-1, keepdim=True)).to(draws.dtype)
