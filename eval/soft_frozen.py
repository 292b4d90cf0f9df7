"""The Soft-Frozen control of arXiv 2602.14111: an SAE whose decoder directions may turn only a little from the random
ones they start from (cosine of 0.8 or more); trained with `turn_back` exactly as an SAE is without."""

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
