"""If these fail, the promise "at most such a share of what is spoken is left out" does not hold."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from whisper_steer.errors import UsageError
from whisper_steer.gate.conformal import (
    POINTS,
    choose_threshold,
    conformal_threshold,
    loss_curve,
    smallest_promise,
)


def utterances(rng: np.random.Generator, n: int) -> list[np.ndarray]:
    """Of different lengths and loudness; the steps of one are alike, as in speech."""
    return [(rng.normal(3, 2) + rng.normal(size=rng.integers(1, 60))).astype(np.float32) for _ in range(n)]


def loss(heard: list[np.ndarray], threshold: float) -> float:
    """The mean over utterances of the share of their steps below a threshold: what the promise bounds."""
    return float(np.mean([(steps < threshold).mean() for steps in heard]))


def test_a_few_utterances_by_hand() -> None:
    """Ten utterances of two steps: just above 1.0 one of 20 steps is lost, (10 * 0.05 + 1) / 11 of the next."""
    heard = [np.array([i + 1.0, i + 1.5], np.float32) for i in range(10)]
    curve = loss_curve(heard)
    for lost in range(1, 20):
        promise = (10 * lost * 0.05 + 1) / 11
        assert conformal_threshold(curve, 10, promise + 1e-6) == 1.0 + (lost - 1) / 2
        # At a value, that value is kept; above it, it is lost too, and the promise allows no more than that.
        assert loss(heard, 1.01 + (lost - 1) / 2) == pytest.approx(lost * 0.05)
        assert conformal_threshold(curve, 10, promise - 1e-6) < 1.0 + (lost - 1) / 2


def test_the_smallest_promise_loses_no_calibration_step_at_all() -> None:
    """Also of a calibration of so many steps that one of them is next to nothing."""
    rng = np.random.default_rng(0)
    heard = [rng.normal(size=2000).astype(np.float32) for _ in range(99)]
    threshold = conformal_threshold(loss_curve(heard), 99, smallest_promise(99))
    assert loss(heard, threshold) == 0.0


@pytest.mark.parametrize("promise", [0.005, 0.02, 0.1])
def test_the_threshold_is_the_largest_that_keeps_the_promise(promise: float) -> None:
    rng = np.random.default_rng(1)
    heard = utterances(rng, 600)
    curve = loss_curve(heard)
    assert len(curve) <= POINTS + 1
    threshold = conformal_threshold(curve, len(heard), promise)
    risk = (600 * loss(heard, threshold) + 1) / 601
    assert 0.9 * promise < risk <= promise + 1e-6  # between two points of the curve a little is given away


def test_the_promise_holds_on_fresh_speech() -> None:
    """2,000 calibrations on exchangeable utterances: the mean share left out of the next stays below the promise."""
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(2000):
        heard = utterances(rng, 110)
        threshold = conformal_threshold(loss_curve(heard[:100]), 100, 0.05)
        shares.append(loss(heard[100:], threshold))
    assert np.mean(shares) <= 0.05
    assert np.mean(shares) > 0.035  # not by hearing speech everywhere


def test_a_promise_that_the_sample_cannot_keep_is_refused_with_the_smallest_it_can() -> None:
    curve = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
    assert smallest_promise(199) == pytest.approx(0.005)
    conformal_threshold(curve, 199, 0.005)
    with pytest.raises(UsageError, match="198 calibration utterances cannot promise"):
        conformal_threshold(curve, 198, 0.005)
    for share in (0.0, 1.0, -1.0):
        with pytest.raises(UsageError, match="between 0 and 1"):
            conformal_threshold(curve, 500, share)


def test_room_between_noise_and_speech_is_left_to_speech() -> None:
    """The threshold never passes the promise's bound, and stays below it where noise ends earlier."""
    speech = [np.linspace(4.0, 9.0, 50).astype(np.float32) + i / 400 for i in range(400)]
    curve, noise = loss_curve(speech), torch.linspace(-9.0, 1.0, 400)
    bound = conformal_threshold(curve, 400, 0.01)
    used = choose_threshold(curve, 400, noise, 0.01)
    ranked = noise.sort(descending=True).values
    assert used == pytest.approx(float(ranked[11] + ranked[12]) / 2)  # 12 are 3 % of 400
    assert (noise >= used).sum() == 12
    few = noise[-20:]
    assert choose_threshold(curve, 400, few, 0.01) == pytest.approx((bound + float(few.max())) / 2)
    assert choose_threshold(curve, 400, noise + 20, 0.01) == bound
