"""Intervals and paired tests: Wilson, bootstrap over groups, McNemar, paired bootstrap. 95 % throughout.

A group is what was sampled independently: a speaker, or a source recording cut into several clips. Resampling
clips of one recording as if they were independent makes intervals too narrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, norm

LEVEL = 0.95
RESAMPLES = 2000

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval. ``n``: clips (Wilson) or groups (bootstrap) it rests on; NaN where n is 0."""

    value: float
    low: float
    high: float
    n: int

    def to_dict(self) -> dict[str, float | int | None]:
        def finite(x: float) -> float | None:
            return round(float(x), 6) if np.isfinite(x) else None

        return {"value": finite(self.value), "low": finite(self.low), "high": finite(self.high), "n": self.n}


def wilson(successes: int, n: int) -> Estimate:
    """Share with Wilson's score interval (Wilson 1927), without continuity correction."""
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    z = float(norm.ppf(0.5 + LEVEL / 2))
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half), n)


def mcnemar(a: Sequence[bool], b: Sequence[bool]) -> dict[str, float | int]:
    """Exact McNemar test of paired outcomes: how many clips only ``a``, only ``b`` has, and the two-sided p."""
    only_a = sum(x and not y for x, y in zip(a, b, strict=True))
    only_b = sum(y and not x for x, y in zip(a, b, strict=True))
    discordant = only_a + only_b
    p = float(binomtest(only_a, discordant, 0.5).pvalue) if discordant else 1.0
    return {"only_a": only_a, "only_b": only_b, "p": p}


def group_sums(groups: Sequence[str], columns: Sequence[Sequence[float]]) -> Array:
    """Sums of each column inside each group, groups in sorted order: (n_groups, n_columns)."""
    names = {name: i for i, name in enumerate(sorted(set(groups)))}
    sums = np.zeros((len(names), len(columns)))
    index = [names[group] for group in groups]
    for column, values in enumerate(columns):
        np.add.at(sums[:, column], index, np.asarray(values, dtype=float))
    return sums


def bootstrap(sums: Array, statistic: Callable[[Array], Array], seed: int = 0) -> Estimate:
    """Percentile bootstrap over groups (Efron 1979).

    ``sums`` (n_groups, n_columns) from `group_sums`; ``statistic`` maps totals (n, n_columns) to (n,). With a single
    group there is nothing to resample: the interval is NaN.
    """
    n = len(sums)
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0)
    value = float(statistic(sums.sum(axis=0, keepdims=True))[0])
    if n == 1:
        return Estimate(value, np.nan, np.nan, 1)
    low, high = _percentiles(statistic(resample(sums, seed)))
    return Estimate(value, low, high, n)


def resample(sums: Array, seed: int = 0) -> Array:
    """Totals of RESAMPLES draws of as many groups as there are, with replacement: (RESAMPLES, n_columns)."""
    n = len(sums)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES)
    return weights @ sums


def ratio(numerator: int = 0, denominator: int = 1, scale: float = 1.0) -> Callable[[Array], Array]:
    """Statistic: one column over another. NaN where the denominator is 0."""

    def statistic(totals: Array) -> Array:
        below = totals[:, denominator]
        return scale * np.divide(
            totals[:, numerator], below, out=np.full(len(totals), np.nan), where=below != 0
        )

    return statistic


def paired_difference(
    groups: Sequence[str], a: Sequence[float], b: Sequence[float], per: Sequence[float], scale: float = 1.0
) -> Estimate:
    """(sum a - sum b) / sum per, bootstrapped over groups with both systems resampled together."""
    sums = group_sums(groups, [[x - y for x, y in zip(a, b, strict=True)], per])
    return bootstrap(sums, ratio(0, 1, scale))


def sum_of(parts: Sequence[tuple[Array, Callable[[Array], Array]]], weights: Sequence[float]) -> Estimate:
    """Weighted sum of statistics on independent sets, each resampled by its own groups (for C_k = F + k D)."""
    if any(len(sums) == 0 for sums, _ in parts):
        return Estimate(np.nan, np.nan, np.nan, 0)
    pairs = list(zip(parts, weights, strict=True))
    value = sum(w * float(stat(sums.sum(axis=0, keepdims=True))[0]) for (sums, stat), w in pairs)
    draws = sum(w * stat(resample(sums, seed)) for seed, ((sums, stat), w) in enumerate(pairs))
    low, high = _percentiles(np.asarray(draws))
    return Estimate(value, low, high, min(len(sums) for sums, _ in parts))


def _percentiles(draws: Array) -> tuple[float, float]:
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return np.nan, np.nan
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
