"""Activations made of features that one knows, and how many of them a dictionary finds.

The set of arXiv 2602.14111: ``features`` unit vectors drawn evenly on the sphere of ``n`` dimensions, each active by
itself with its own probability and an amplitude of LogNormal(0, 0.25); the activations are their sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Probabilities = Literal["constant", "log-uniform"]
CONSTANT = 0.00625
LOWEST, HIGHEST = 10**-5.5, 10**-1.2
"""between which log-uniform probabilities lie; their mean is 0.0064"""
AMPLITUDE = 0.25
"""of the logarithm, its standard deviation"""
FAR = 2**30
"""added to the seed of the features: who learns them with the same seed must not start from the same draws"""
RECOVERED = 0.8
"""cosine above which a direction counts as a feature"""


@dataclass
class KnownFeatures:
    """Where activations come from."""

    directions: Tensor
    """(features, n), norm 1"""
    probability: Tensor
    """(features,)"""
    seed: int

    def batch(self, size: int, number: int) -> Tensor:
        """(size, n) float32: batch ``number``, the same whenever it is asked for on one kind of device.

        Whether a feature is active in a row is exactly Bernoulli: events of a Poisson process of rate -log(1 - p) a
        row, where two in the same place count once.
        """
        device = self.directions.device
        generator = torch.Generator(device).manual_seed((self.seed << 32) + number)
        rate = -torch.log1p(-self.probability.double())
        below = rate.cumsum(0)
        n = int(torch.poisson(below[-1:] * size, generator=generator))
        draws = torch.rand(2, n, generator=generator, device=device, dtype=torch.float64)
        feature = torch.searchsorted(below, draws[0] * below[-1]).clamp_max(len(rate) - 1)
        row = (draws[1] * size).long().clamp_max(size - 1)
        place = torch.unique(row * len(rate) + feature)
        row, feature = place // len(rate), place % len(rate)
        amplitude = torch.randn(len(place), generator=generator, device=device).mul(AMPLITUDE).exp()
        out = torch.zeros(size, self.directions.shape[1], device=device)
        return out.index_add_(0, row, self.directions[feature] * amplitude[:, None])


def known_features(
    probabilities: Probabilities, n: int = 100, features: int = 3200, seed: int = 0, device: str = "cpu"
) -> KnownFeatures:
    """The paper's set, or one of another size."""
    generator = torch.Generator().manual_seed(seed + FAR)
    directions = torch.randn(features, n, generator=generator)
    directions /= directions.norm(dim=1, keepdim=True)
    probability = torch.full((features,), CONSTANT)
    if probabilities == "log-uniform":
        low, high = torch.tensor([LOWEST, HIGHEST]).log()
        probability = (low + (high - low) * torch.rand(features, generator=generator)).exp()
    return KnownFeatures(directions.to(device), probability.to(device), seed)


@dataclass(frozen=True)
class Recovery:
    """How much of the features a dictionary holds."""

    share: float
    """of the features, those to which some direction has a cosine above `RECOVERED`"""
    of_activity: float
    """of all moments at which a feature is active, those of features that are recovered"""
    cosine: float
    """of the features, the mean of the largest cosine"""


def recovery(directions: Tensor, known: KnownFeatures) -> Recovery:
    """Of a dictionary of directions (latents, n) of any norm (arXiv 2602.14111)."""
    unit = directions / directions.norm(dim=1, keepdim=True).clamp_min(1e-12)
    best = torch.cat([(part @ unit.T).amax(dim=1) for part in known.directions.split(512)])
    found = best > RECOVERED
    active = float((found * known.probability).sum() / known.probability.sum())
    return Recovery(float(found.float().mean()), active, float(best.mean()))


__all__ = ["CONSTANT", "KnownFeatures", "Probabilities", "Recovery", "known_features", "recovery"]
