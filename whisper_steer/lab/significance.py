"""Which latents predict EEG better than permuted ones: one-sided tests, corrected for how many were looked at.

Of one subject, p is the share of permutations that predict as well; of several, a t-test over subjects of what r has
over the mean of its permutations. p is corrected by Holm's method (arXiv 2602.05027, section on EEG).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_1samp

from whisper_steer.errors import MissingPackageError, UsageError
from whisper_steer.lab.trf import HeldOut

ALPHA = 0.05
"""probability of naming any latent where none predicts"""
FEWEST, OF_SEVERAL = 1000, 100
"""permutations, of one subject at least and of each of several"""


@dataclass
class Significance:
    """Of n latents."""

    r: np.ndarray
    """(n,) mean over subjects"""
    null_mean: np.ndarray
    """(n,) of permuted latents"""
    p: np.ndarray
    p_holm: np.ndarray
    """(n,)"""

    @property
    def found(self) -> np.ndarray:
        """(n,) bool: significant at `ALPHA`, corrected."""
        return self.p_holm <= ALPHA


def permutations_for(latents: int, subjects: int, asked: int | None = None) -> int:
    """How many to make: enough that Holm's first step can be passed twice over, where p counts them.

    Raises `UsageError` where fewer were asked for than can show anything.
    """
    if subjects > 1:
        return OF_SEVERAL if asked is None else asked
    needed = math.ceil(latents / ALPHA) - 1
    if asked is None:
        return max(FEWEST, 2 * needed)
    if asked < needed:
        raise UsageError(
            f"with {asked} permutations no one of {latents} latents can be significant: "
            f"pass --permutations {needed} or more, or fewer --latents"
        )
    return asked


def significance(subjects: list[HeldOut]) -> Significance:
    """The tests, over the same latents of one or more subjects."""
    try:
        from statsmodels.stats.multitest import multipletests
    except ImportError:
        raise MissingPackageError(
            "this needs the package statsmodels: pip install 'whisper-steer[eeg]'"
        ) from None
    r = np.stack([each.r for each in subjects])
    null = np.stack([each.null.mean(axis=1) for each in subjects])
    if len(subjects) == 1:
        count = (subjects[0].null >= subjects[0].r[:, None]).sum(axis=1)
        p = (1 + count) / (1 + subjects[0].null.shape[1])
    else:
        p = np.asarray(ttest_1samp(r - null, 0.0, axis=0, alternative="greater").pvalue)
        p = np.where(np.isnan(p), 1.0, p)
    return Significance(r.mean(axis=0), null.mean(axis=0), p, np.asarray(multipletests(p, ALPHA, "holm")[1]))
