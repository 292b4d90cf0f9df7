"""If these fail, the promise is made for the mean of all speech and broken for the few."""

from __future__ import annotations

import numpy as np
import pytest

from whisper_steer.gate.conformal import conformal_threshold, loss_curve
from whisper_steer.gate.strata import Utterance, calibrated, names, one_a_speaker, rows


def windows(
    rng: np.random.Generator, speakers: int, each: int, stratum: str, level: float
) -> list[Utterance]:
    """Windows of one speaker are alike: the speaker's own level counts, not the window's."""
    found = []
    for speaker in range(speakers):
        own = level + 2 * rng.standard_normal()
        for _ in range(each):
            heard = (own + 0.3 * rng.standard_normal(20)).astype(np.float32)
            found.append(Utterance(f"{stratum}{speaker}", (stratum,), heard))
    return found


def test_each_stratum_gets_its_own_threshold_from_one_window_a_speaker() -> None:
    rng = np.random.default_rng(0)
    spoken = [*windows(rng, 60, 5, "clean", 6.0), *windows(rng, 30, 1, "far", 0.0)]
    clean, far = calibrated(spoken, 0.05, in_use=1.0)
    assert (clean.stratum, clean.windows, clean.speakers) == ("clean", 300, 60)
    assert (far.windows, far.speakers) == (30, 30)
    alone = [each.heard for each in spoken if each.strata == ("far",)]
    assert far.threshold == conformal_threshold(loss_curve(alone), 30, far.promise)
    assert far.threshold < 1.0 < clean.threshold
    assert clean.keeps and not far.keeps
    assert far.left_out == pytest.approx(float(np.mean([(heard < 1.0).mean() for heard in alone])))
    assert clean.promise == 0.05
    few = calibrated(spoken, 0.001, in_use=1.0)
    assert [each.promise for each in few] == [pytest.approx(1 / 61), pytest.approx(1 / 31)]
    assert rows(few)[1]["stratum"] == "far"


def test_one_window_of_each_speaker_and_each_may_be_it() -> None:
    rng = np.random.default_rng(1)
    spoken = windows(rng, 4, 3, "clean", 0.0)
    drawn = [one_a_speaker(spoken, rng) for _ in range(60)]
    assert all([each.speaker for each in some] == [f"clean{i}" for i in range(4)] for some in drawn)
    assert len({id(each) for some in drawn for each in some}) == 12


def test_strata_are_listed_in_a_fixed_order() -> None:
    assert names([("language fr", "far"), ("clean", "language en")]) == [
        "clean",
        "far",
        "language en",
        "language fr",
    ]


def test_one_window_a_speaker_keeps_the_promise_that_all_windows_break() -> None:
    """400 calibrations on 20 speakers of whom there are 10 windows each; judged on forty that come next."""
    rng = np.random.default_rng(2)
    promise, lost_one, lost_all = 0.05, [], []
    for _ in range(400):
        known, following = windows(rng, 20, 10, "clean", 3.0), windows(rng, 40, 1, "clean", 3.0)
        one = calibrated(known, promise, in_use=0.0)[0].threshold
        pooled = conformal_threshold(loss_curve([each.heard for each in known]), len(known), promise)
        lost_one.append(np.mean([each.loss(one) for each in following]))
        lost_all.append(np.mean([each.loss(pooled) for each in following]))
    errors = [3 * np.std(lost) / 400**0.5 for lost in (lost_one, lost_all)]
    assert np.mean(lost_one) <= promise + errors[0]
    assert np.mean(lost_all) > promise + errors[1]
