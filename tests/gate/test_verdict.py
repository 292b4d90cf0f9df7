"""If these fail, a user is told that a promise holds, or is broken, on recordings that cannot tell."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from whisper_steer.gate.verdict import at_most, judge, p_above, p_below


@pytest.mark.parametrize("n", [20, 50, 300, 998])
def test_where_nothing_is_lost_the_bound_is_that_of_clopper_and_pearson(n: int) -> None:
    _, high = proportion_confint(0, n, alpha=0.1, method="beta")  # one-sided at 5 %
    assert at_most(0.0, n) == pytest.approx(high, abs=1e-6)


@pytest.mark.parametrize(("lost", "n"), [(1, 50), (3, 120), (40, 200)])
def test_the_bound_is_never_below_that_of_clopper_and_pearson(lost: int, n: int) -> None:
    """Which is exact for losses of 0 and 1, and so for the hardest losses; nor far above it."""
    _, high = proportion_confint(lost, n, alpha=0.1, method="beta")
    assert high <= at_most(lost / n, n) <= 1.6 * high


def test_how_many_would_tell_is_told() -> None:
    assert judge([0.0] * 997, 0.003).answer == "too few to tell"
    assert judge([0.0] * 997, 0.003).needed == 998
    assert judge([0.0] * 998, 0.003).answer == "holds"
    few = judge([0.5] + [0.0] * 99, 0.02)
    assert few.answer == "too few to tell" and few.needed is not None
    more = few.needed
    assert judge([0.5] * (more // 100) + [0.0] * (more - more // 100), 0.02).answer == "holds"
    assert judge([0.02] * 10, 0.02).needed is None  # exactly as promised: no number tells


def test_a_broken_promise_is_called_broken() -> None:
    assert judge([1.0] * 3, 0.01).answer == "broken"
    assert judge([1.0] * 20 + [0.0] * 80, 0.01).answer == "broken"
    assert judge([1.0], 0.2).answer == "too few to tell"


@pytest.mark.parametrize("spread", [0.2, 5.0])
def test_it_errs_in_no_more_than_one_of_twenty(spread: float) -> None:
    """2,000 users whose expected loss is just what is promised: neither answer may come often."""
    rng = np.random.default_rng(0)
    promise = 0.05
    losses = rng.beta(promise * spread, (1 - promise) * spread, size=(2000, 150))
    means = losses.mean(axis=1)
    assert np.mean([p_above(mean, 150, promise) <= 0.05 for mean in means]) <= 0.05
    assert np.mean([p_below(mean, 150, promise) <= 0.05 for mean in means]) <= 0.05
