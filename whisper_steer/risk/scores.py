"""How good a risk is: AUROC, area under precision and recall, calibration error, with intervals over groups.

The scores take a matrix of weights, so that all draws of the bootstrap are one pass; they are scikit-learn's otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from whisper_steer.eval.intervals import LEVEL, RESAMPLES, Estimate

Numbers = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Score = Callable[[Labels, Numbers, Numbers], Numbers]
"""of labels and risks, (n,) each, and weights (draws, n): (draws,)"""

BINS = 10


def auroc(wrong: Labels, risk: Numbers, weight: Numbers) -> Numbers:
    """How often a segment that is wrong has the higher risk of two; ties count half."""
    right, bad = _by_risk(wrong, risk, weight)
    below = np.cumsum(right, axis=-1) - right
    return _ratio((bad * (below + right / 2)).sum(axis=-1), bad.sum(axis=-1) * right.sum(axis=-1))


def average_precision(wrong: Labels, risk: Numbers, weight: Numbers) -> Numbers:
    right, bad = (each[:, ::-1] for each in _by_risk(wrong, risk, weight))
    hits, every = np.cumsum(bad, axis=-1), np.cumsum(bad + right, axis=-1)
    return _ratio((bad * _ratio(hits, every)).sum(axis=-1), bad.sum(axis=-1))


def calibration_error(wrong: Labels, risk: Numbers, weight: Numbers) -> Numbers:
    """Expected calibration error over ten bins of equal width (Guo et al. 2017, arXiv 1706.04599, equation 3)."""
    bins = np.minimum((risk * BINS).astype(int), BINS - 1)
    gaps = [np.abs(weight[:, bins == b] @ (wrong - risk)[bins == b]) for b in range(BINS)]
    return _ratio(np.sum(gaps, axis=0), weight.sum(axis=-1))


def estimate(score: Score, wrong: Labels, risk: Numbers, groups: Sequence[str], seed: int = 0) -> Estimate:
    """The score with its percentile bootstrap over groups; NaN where there is only right or only wrong."""
    names, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    if len(set(wrong.tolist())) < 2:
        return Estimate(np.nan, np.nan, np.nan, len(names))
    (value,) = score(wrong, risk, np.ones((1, len(wrong))))
    draws = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES
    )
    found = score(wrong, risk, draws[:, index].astype(np.float64))
    found = found[np.isfinite(found)]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(names) > 1 else (np.nan, np.nan)
    return Estimate(float(value), float(low), float(high), len(names))


def reliability(wrong: Labels, risk: Numbers, bins: int = BINS) -> list[tuple[float, int, int]]:
    """Mean risk, how many are wrong, and how many there are, in bins of equally many segments."""
    order = np.argsort(risk, kind="stable")
    return [
        (float(risk[part].mean()), int(wrong[part].sum()), len(part))
        for part in np.array_split(order, min(bins, len(order)))
    ]


def _by_risk(wrong: Labels, risk: Numbers, weight: Numbers) -> tuple[Numbers, Numbers]:
    """Weights of what is right and of what is wrong at each different risk, in ascending order: (draws, risks)."""
    order = np.argsort(risk, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(risk[order]) > 0])
    right, bad = (weight[:, order] * (wrong[order] == side) for side in (0, 1))
    return np.add.reduceat(right, starts, axis=-1), np.add.reduceat(bad, starts, axis=-1)


def _ratio(above: Numbers, below: Numbers) -> Numbers:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)


__all__ = ["auroc", "average_precision", "calibration_error", "estimate", "reliability"]
