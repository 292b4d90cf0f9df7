"""If these fail, latents are called significant more often than is said."""

from __future__ import annotations

import gc

import numpy as np
import pytest
from scipy.stats import t

pytest.importorskip("statsmodels", reason="statsmodels is not installed: pip install '.[eeg]'")

from whisper_steer.errors import UsageError
from whisper_steer.lab.eeg_simulated import family_wise
from whisper_steer.lab.significance import permutations_for, significance
from whisper_steer.lab.trf import HeldOut


def test_of_one_subject_p_counts_permutations_and_holm_steps_down() -> None:
    null = np.tile(np.arange(1, 200) / 1000, (3, 1))
    found = significance([HeldOut(np.array([0.5, 0.195, 0.1]), null)])
    p = np.array([1, 6, 101]) / 200
    np.testing.assert_allclose(found.p, p)
    np.testing.assert_allclose(found.p_holm, [3 * p[0], 2 * p[1], p[2]])
    assert found.found.tolist() == [True, False, False]


def test_of_several_subjects_it_is_the_t_test_of_what_lies_above_chance(rng: np.random.Generator) -> None:
    held = [HeldOut(np.array([0.1, 0.0]) + 0.02 * rng.standard_normal(2), np.zeros((2, 5))) for _ in range(6)]
    found = significance(held)
    r = np.stack([each.r for each in held])
    statistic = r.mean(axis=0) / (r.std(axis=0, ddof=1) / 6**0.5)
    np.testing.assert_allclose(found.p, t(5).sf(statistic))
    assert found.found.tolist() == [True, False]
    np.testing.assert_allclose(found.r, r.mean(axis=0))


def test_fewer_permutations_than_can_show_anything_are_refused() -> None:
    assert permutations_for(10, 1) == 1000
    assert permutations_for(1000, 1) == 2 * 19999
    assert permutations_for(1000, 19) == 100
    assert permutations_for(40, 1, 799) == 799
    with pytest.raises(UsageError, match="--permutations 799"):
        permutations_for(40, 1, 798)


def test_on_noise_nothing_is_found_more_often_than_alpha() -> None:
    pytest.importorskip("mtrf", reason="mtrf is not installed: pip install '.[eeg]'")
    gc.freeze()  # statsmodels collects garbage at every call, which takes a second where torch is loaded
    share = family_wise(runs=20, latents=3, permutations=59, trials=3, seconds=12.0)
    gc.unfreeze()
    assert share <= 3 / 20  # more than 3 of 20 has a probability of 1.6 % at alpha 0.05
