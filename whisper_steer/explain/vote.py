"""What a stretch of sound is called: a vote of the named latents.

Each votes for or against each labelled class with its activity, by a logistic regression on nothing but the named
latents: ``softmax(weight sqrt(activity / typical) + bias)``, where activity is the mean over the stretch and typical
that in labelled sound. The root keeps one loud latent from deciding alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from whisper_steer.explain.sounds import SILENCE

PENALTIES = (0.03, 0.1, 0.3, 1.0)
"""inverse strengths of the L2 penalty that are tried"""


@dataclass
class Vote:
    """A fitted vote on n latents."""

    typical: Tensor
    """(n,) mean activity in labelled sound, each class counting alike"""
    weight: Tensor
    """(classes, n)"""
    bias: Tensor
    """(classes,)"""

    def probabilities(self, activity: Tensor) -> Tensor:
        """Mean activities (..., n) -> probabilities of the classes (..., classes)."""
        return (root(activity, self.typical) @ self.weight.T + self.bias).softmax(dim=-1)


def root(activity: Tensor, typical: Tensor) -> Tensor:
    """The features of the vote: (..., n) -> (..., n)."""
    return (activity.float() / typical).sqrt()


def fit_vote(
    fit: Tensor, fit_rows: Tensor, choose: Tensor, choose_rows: Tensor, typical: Tensor, classes: int
) -> Vote:
    """Fit on activities (m, n) of known classes (m,) int64; the penalty is the one by which others are likeliest.

    Each class counts alike in both.
    """
    from sklearn.linear_model import LogisticRegression  # a second to import, which transcribing needs not

    x, known, held = (each.numpy() for each in (root(fit, typical), root(choose, typical), choose_rows))
    weight = 1 / np.bincount(held, minlength=classes)[held]
    best: tuple[float, Vote] | None = None
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=200, class_weight="balanced").fit(x, fit_rows.numpy())
        right = model.predict_log_proba(known)[np.arange(len(held)), np.searchsorted(model.classes_, held)]
        unlikely = -float((weight * right).sum())
        if best is None or unlikely < best[0]:
            coefficients, bias = (torch.from_numpy(each).float() for each in (model.coef_, model.intercept_))
            best = unlikely, Vote(typical, coefficients, bias)
    assert best is not None
    return best[1]


def likeliest(vote: Vote, chunks: Tensor, classes: Sequence[tuple[str, ...]], piece: int) -> Tensor:
    """(classes,) the probability of each class in the piece of a stretch in which it is likeliest.

    ``chunks``: (chunks, n) activities. Chunks that are silence are set aside where there are others, so that one bark
    in a quiet minute is heard; the others make pieces of at most so many chunks.
    """
    silent = torch.tensor([names[0] == SILENCE for names in classes])
    loud = ~silent[vote.probabilities(chunks).argmax(dim=1)]
    chunks = chunks[loud] if loud.any() else chunks
    pieces = torch.stack([part.float().mean(dim=0) for part in chunks.split(piece)])
    return vote.probabilities(pieces).amax(dim=0)


__all__ = ["Vote", "fit_vote", "likeliest"]
