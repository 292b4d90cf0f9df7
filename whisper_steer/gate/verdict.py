"""Whether a promise holds on recordings that did not calibrate it: holds, broken, or too few to tell.

The loss of a recording lies within 0 and 1, so a mean loss is tested by the inequality of Hoeffding and Bentkus
(Bates et al., arXiv 2101.02703, as used by Learn-then-Test, 2110.01052): valid at any n, without a model of the losses.
Where nothing at all is lost, its p-value is that of Clopper and Pearson, (1 - promise)^n. One-sided, at 5 % each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom

LEVEL = 0.05
MOST = 10**6
"""recordings; where more would be needed, no number is told"""

Answer = Literal["holds", "broken", "too few to tell"]


@dataclass(frozen=True)
class Verdict:
    """On the losses of independent recordings, one of each speaker."""

    answer: Answer
    n: int
    mean: float
    at_most: float
    """the expected loss lies below it, with 95 % confidence"""
    needed: int | None
    """how many recordings would tell, were their mean loss the same; None where so many tell, or even `MOST` do not"""


def judge(losses: Sequence[float], promise: float) -> Verdict:
    """``losses`` (n,) within 0 and 1, n at least 1; ``promise``: the largest mean loss that is allowed, 0..1."""
    n, mean = len(losses), float(np.mean(losses))
    bound = at_most(mean, n)
    if p_above(mean, n, promise) <= LEVEL:
        return Verdict("holds", n, mean, bound, None)
    if p_below(mean, n, promise) <= LEVEL:
        return Verdict("broken", n, mean, bound, None)
    test = p_above if mean < promise else p_below
    return Verdict("too few to tell", n, mean, bound, _smallest(lambda m: test(mean, m, promise) <= LEVEL, n))


def p_above(mean: float, n: int, promise: float) -> float:
    """p-value of "the expected loss is above the promise", small where the mean of n losses is well below it."""
    if mean >= promise:
        return 1.0
    hoeffding = math.exp(-n * _divergence(mean, promise))
    bentkus = math.e * float(binom.cdf(math.ceil(n * mean - 1e-9), n, promise))
    return min(1.0, hoeffding, bentkus)


def p_below(mean: float, n: int, promise: float) -> float:
    """p-value of "the expected loss is no more than the promise", small where the mean is well above it."""
    return p_above(1 - mean, n, 1 - promise)


def at_most(mean: float, n: int) -> float:
    """Upper bound of the expected loss at 95 %: the largest promise that is not shown to hold."""
    if mean >= 1 or p_above(mean, n, 1 - 1e-12) > LEVEL:
        return 1.0
    return float(
        brentq(lambda share: p_above(mean, n, share) - LEVEL, max(mean, 1e-12), 1 - 1e-12, xtol=1e-9)
    )


def _divergence(mean: float, promise: float) -> float:
    """Kullback and Leibler's, of two Bernoulli variables."""
    first = mean * math.log(mean / promise) if mean > 0 else 0.0
    second = (1 - mean) * math.log((1 - mean) / (1 - promise)) if mean < 1 else 0.0
    return first + second


def _smallest(enough: Callable[[int], bool], low: int) -> int | None:
    high = low
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
