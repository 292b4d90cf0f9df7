"""If these fail, latents are said to predict EEG, or not to, by a number that is not mTRFpy's."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mtrf", reason="mtrf is not installed: pip install '.[eeg]'")

import mtrf
from mtrf.stats import nested_crossval

from whisper_steer.errors import DataError
from whisper_steer.lab.eeg_signals import RATE, paired
from whisper_steer.lab.eeg_simulated import made_up_latents, simulate
from whisper_steer.lab.trf import GUARD, LAGS, RIDGE, held_out, kernel

Pair = tuple[list[np.ndarray], list[np.ndarray]]


@pytest.fixture(scope="module")
def two_planted() -> tuple[Pair, np.ndarray]:
    """Four latents, of which the EEG obeys 1 and 3, and the kernels it does so by."""
    rng = np.random.default_rng(1)
    z = made_up_latents(4, 4, 15.0, rng)
    made = simulate(z, np.array([1, 3]), rng, share=0.2)
    return paired(z, made.eeg), made.kernels


def test_the_correlation_is_that_of_mtrfpys_nested_cross_validation(
    two_planted: tuple[Pair, np.ndarray],
) -> None:
    (x, y), _ = two_planted
    found = held_out(x, y, 1, np.random.default_rng(0))
    for j in range(4):
        theirs, _ = nested_crossval(
            mtrf.TRF(), [z[:, [j]] for z in x], [e[:, None] for e in y], RATE, *LAGS, list(RIDGE),
            verbose=False,
        )  # fmt: skip
        np.testing.assert_allclose(found.r[j], theirs.mean(), atol=1e-9)


def test_a_permutation_is_the_same_with_the_eeg_moved(two_planted: tuple[Pair, np.ndarray]) -> None:
    (x, y), _ = two_planted
    x = [z[:, :1] for z in x]
    found = held_out(x, y, 2, np.random.default_rng(0))
    rng = np.random.default_rng(0)
    moves = [rng.integers(GUARD, len(e) - GUARD, 2, endpoint=True) for e in y]
    for i in range(2):
        moved = [np.roll(e, -m[i]) for e, m in zip(y, moves, strict=True)]
        np.testing.assert_allclose(found.null[:, i], held_out(x, moved, 1, rng).r, atol=1e-9)


def test_planted_latents_stand_out_and_their_kernels_come_back(two_planted: tuple[Pair, np.ndarray]) -> None:
    (x, y), kernels = two_planted
    found = held_out(x, y, 59, np.random.default_rng(0))
    above = (found.null < found.r[:, None]).mean(axis=1)
    assert (above[[1, 3]] == 1).all()
    assert (above[[0, 2]] < 1).all()
    assert np.abs(found.null.mean(axis=1)).max() < 0.05
    for planted, made in zip((1, 3), kernels, strict=True):
        lags, weights = kernel([z[:, planted] for z in x], y)
        assert (lags[0], lags[-1]) == LAGS
        assert np.corrcoef(weights, made)[0, 1] > 0.8


def test_a_latent_that_is_silent_in_a_trial_has_a_number(two_planted: tuple[Pair, np.ndarray]) -> None:
    (x, y), _ = two_planted
    x = [z[:, :1].copy() for z in x]
    x[2][:] = 0
    found = held_out(x, y, 3, np.random.default_rng(0))
    assert np.isfinite(found.r).all()
    assert np.isfinite(found.null).all()


def test_two_trials_are_refused(two_planted: tuple[Pair, np.ndarray]) -> None:
    (x, y), _ = two_planted
    with pytest.raises(DataError, match="three or more"):
        held_out(x[:2], y[:2], 10, np.random.default_rng(0))
