"""Every claim of the report rests on these intervals; they are checked against scipy, statsmodels and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.proportion import proportion_confint

from whisper_steer.eval import intervals


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 400), (1, 400), (37, 120), (400, 400)])
def test_wilson_is_that_of_statsmodels(k: int, n: int) -> None:
    found = intervals.wilson(k, n)
    low, high = proportion_confint(k, n, alpha=0.05, method="wilson")
    assert (found.value, found.low, found.high) == pytest.approx((k / n, low, high), abs=1e-12)


def test_no_clips_give_no_figure() -> None:
    assert intervals.wilson(0, 0).to_dict() == {"value": None, "low": None, "high": None, "n": 0}


def test_mcnemar_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(200) < 0.3, rng.random(200) < 0.4
    table = [[int((a & b).sum()), int((a & ~b).sum())], [int((~a & b).sum()), int((~a & ~b).sum())]]
    found = intervals.mcnemar(a.tolist(), b.tolist())
    assert found["p"] == pytest.approx(reference_mcnemar(table, exact=True).pvalue)
    assert (found["only_a"], found["only_b"]) == (table[0][1], table[1][0])


def test_systems_that_agree_everywhere_do_not_differ() -> None:
    assert intervals.mcnemar([True, False], [True, False])["p"] == 1.0


def test_bootstrap_of_a_mean_comes_near_the_normal_interval() -> None:
    values = np.random.default_rng(1).normal(3.0, 1.0, 400)
    sums = intervals.group_sums([str(i) for i in range(400)], [values, np.ones(400)])
    found = intervals.bootstrap(sums, intervals.ratio())
    half = norm.ppf(0.975) * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_clips_of_one_speaker_do_not_pass_for_independent() -> None:
    """Ten speakers of 50 alike clips each: resampling clips would make the interval seven times too narrow."""
    rate = np.repeat(np.random.default_rng(2).random(10), 50)
    speakers = [f"s{i // 50}" for i in range(500)]
    by_speaker = intervals.bootstrap(intervals.group_sums(speakers, [rate, np.ones(500)]), intervals.ratio())
    by_clip = intervals.bootstrap(
        intervals.group_sums([str(i) for i in range(500)], [rate, np.ones(500)]), intervals.ratio()
    )
    assert by_speaker.high - by_speaker.low > 4 * (by_clip.high - by_clip.low)
    assert by_speaker.n == 10


def test_one_group_has_no_interval() -> None:
    found = intervals.bootstrap(intervals.group_sums(["a", "a"], [[1, 2], [1, 1]]), intervals.ratio())
    assert found.value == 1.5
    assert np.isnan(found.low)


def test_a_paired_difference_is_tight_where_systems_move_together() -> None:
    """Both systems err alike on hard speakers; unpaired intervals would hide that one is better everywhere."""
    errors = np.repeat(np.arange(20), 5) * 1.0
    speakers = [f"s{i // 5}" for i in range(100)]
    found = intervals.paired_difference(speakers, errors, errors + 1, np.full(100, 10.0))
    assert (found.value, found.low, found.high) == pytest.approx((-0.1, -0.1, -0.1))


def test_combined_cost_adds_its_parts() -> None:
    f = intervals.group_sums(["a", "b"], [[2, 2], [1, 1]])
    d = intervals.group_sums(["x", "y"], [[3, 3], [1, 1]])
    found = intervals.sum_of([(f, intervals.ratio()), (d, intervals.ratio())], [1.0, 5.0])
    assert (found.value, found.low, found.high) == pytest.approx((17.0, 17.0, 17.0))


def test_two_computations_agree_to_the_bit() -> None:
    sums = intervals.group_sums([str(i) for i in range(30)], [np.arange(30), np.ones(30)])
    assert intervals.bootstrap(sums, intervals.ratio()) == intervals.bootstrap(sums, intervals.ratio())
