"""What a stretch of sound is called: a vote of the latents that fire in it.

A latent votes for each class as it fired in labelled sound: with the share of the class's firings that were its own, as
in a naive Bayes classifier of words (McCallum and Nigam 1998). The mean of the logarithms over all that fires is a
class's score; probabilities are the softmax of the scores times a sharpness, which is chosen on clips that the rates
were not counted on, so that what is said with probability 0.7 is right about seven times in ten there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from whisper_steer.explain.sounds import SILENCE

SMALLEST_RATE = 0.01
SHARPNESSES = (1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 14.0, 20.0, 30.0, 50.0)


def scores(rates: Tensor, firing: Tensor) -> Tensor:
    """Rates (classes, n) and shares of the time in which latents fire (..., n) -> scores (..., classes)."""
    smoothed = rates + SMALLEST_RATE
    votes = (smoothed / smoothed.sum(dim=1, keepdim=True)).log()
    every = firing.sum(dim=-1, keepdim=True)
    return (firing / every.clamp_min(1e-9)) @ votes.T


def probabilities(
    rates: Tensor, firing: Tensor, sharpness: float, classes: Sequence[tuple[str, ...]], piece: int
) -> Tensor:
    """(classes,) the probability of each class in the piece of a stretch in which it is likeliest.

    ``firing``: (chunks, n) bool. Chunks that are most like silence are set aside where there are others, so that one
    bark in a quiet minute is heard; the others make pieces of at most so many chunks. Zeros where nothing fires.
    """
    firing = firing.float()
    firing = firing[firing.any(dim=1)]
    if not len(firing):
        return torch.zeros(len(classes))
    silent = [row for row, names in enumerate(classes) if names[0] == SILENCE]
    loud = ~torch.isin(scores(rates, firing).argmax(dim=1), torch.tensor(silent))
    firing = firing[loud] if loud.any() else firing
    shares = torch.stack([part.mean(dim=0) for part in firing.split(piece)])
    return (scores(rates, shares) * sharpness).softmax(dim=1).amax(dim=0)


def sharpness_of(rates: Tensor, firing: Tensor, rows: Tensor) -> float:
    """The sharpness by which examples of known class are likeliest, every class counting alike.

    ``firing``: (examples, n) shares of the time; ``rows``: (examples,) int64, their classes.
    """
    found = scores(rates, firing)
    weight = 1 / rows.bincount(minlength=len(rates))[rows].float()

    def unlikely(sharpness: float) -> float:
        right = (found * sharpness).log_softmax(dim=1)[torch.arange(len(rows)), rows]
        return -float((weight * right).sum())

    return min(SHARPNESSES, key=unlikely)


__all__ = ["probabilities", "scores", "sharpness_of"]
