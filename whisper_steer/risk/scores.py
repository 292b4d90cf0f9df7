"""How good a risk is: AUROC, area under precision and recall, calibration error, with intervals over groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from whisper_steer.eval.intervals import LEVEL, Estimate

Numbers = npt.NDArray[np.float64]
Score = Callable[[npt.NDArray[np.int64], Numbers, Numbers], float]
"""of labels, risks and weights, (n,) each"""

BINS = 10
DRAWS = 500


def auroc(wrong: npt.NDArray[np.int64], risk: Numbers, weight: Numbers) -> float:
    return float(roc_auc_score(wrong, risk, sample_weight=weight))


def average_precision(wrong: npt.NDArray[np.int64], risk: Numbers, weight: Numbers) -> float:
    return float(average_precision_score(wrong, risk, sample_weight=weight))


def calibration_error(wrong: npt.NDArray[np.int64], risk: Numbers, weight: Numbers) -> float:
    """Expected calibration error over ten bins of equal width (Guo et al. 2017, arXiv 1706.04599, equation 3)."""
    bins = np.minimum((risk * BINS).astype(int), BINS - 1)
    gap = [abs(float((weight * (wrong - risk))[bins == b].sum())) for b in range(BINS)]
    return sum(gap) / float(weight.sum())


def estimate(
    score: Score, wrong: npt.NDArray[np.int64], risk: Numbers, groups: Sequence[str], seed: int = 0
) -> Estimate:
    """The score with its percentile bootstrap over groups; NaN where there is only right or only wrong."""
    names, index = np.unique(np.asarray(groups), return_inverse=True)
    if len(set(wrong.tolist())) < 2:
        return Estimate(np.nan, np.nan, np.nan, len(names))
    value = score(wrong, risk, np.ones(len(wrong)))
    rng, draws = np.random.default_rng(seed), []
    for _ in range(DRAWS):
        weight = rng.multinomial(len(names), np.full(len(names), 1 / len(names)))[index].astype(float)
        if len(set(wrong[weight > 0].tolist())) == 2:
            draws.append(score(wrong, risk, weight))
    if not draws:
        return Estimate(value, np.nan, np.nan, len(names))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high), len(names))


def reliability(
    wrong: npt.NDArray[np.int64], risk: Numbers, bins: int = BINS
) -> list[tuple[float, int, int]]:
    """Mean risk, how many are wrong, and how many there are, in bins of equally many segments."""
    order = np.argsort(risk, kind="stable")
    return [
        (float(risk[part].mean()), int(wrong[part].sum()), len(part))
        for part in np.array_split(order, min(bins, len(order)))
    ]


__all__ = ["auroc", "average_precision", "calibration_error", "estimate", "reliability"]
