"""If these fail, docs/promises.md says of a calibration that it holds, or does not, and nobody knows."""

from __future__ import annotations

import numpy as np
import pytest

from whisper_steer.eval.promise.simulate import (
    WAYS,
    Windows,
    elsewhere,
    kept,
    simulate,
    thresholds_of,
    windows_of,
)
from whisper_steer.gate.conformal import conformal_threshold, loss_curve
from whisper_steer.gate.strata import Utterance


def utterances(rng: np.random.Generator, counts: list[int], level: float = 3.0) -> list[Utterance]:
    """Of speakers with so many windows each, all alike but for a little."""
    found = []
    for i, count in enumerate(counts):
        own = level + 2 * rng.standard_normal()
        for _ in range(count):
            steps = (own + 0.3 * rng.standard_normal(25)).astype(np.float32)
            found.append(Utterance(f"{level}-{i:03}", ("clean",), steps))
    return found


def test_losses_are_those_of_the_utterances_and_the_threshold_that_of_the_package() -> None:
    spoken = utterances(np.random.default_rng(0), [1] * 80)
    thresholds = thresholds_of(spoken)
    windows = windows_of(spoken, thresholds)
    for place in (0, 100, len(thresholds) - 1):
        wanted = [each.loss(float(thresholds[place])) for each in spoken]
        np.testing.assert_allclose(windows.losses[:, place], wanted, atol=1e-6)
    assert windows.losses[:, 0].max() == 0
    exact = conformal_threshold(loss_curve([each.heard for each in spoken]), 80, 0.05)
    everyone = np.ones((1, 80), np.float32)
    place = int(kept(everyone, windows.losses, [0.05])[0][0])
    assert thresholds[place] <= exact + 1e-6 and thresholds[place + 2] > exact
    assert kept(everyone, windows.losses, [1 / 82])[0][0] == -1


def test_by_the_closed_form_where_one_step_is_the_whole_loss() -> None:
    """Losses of 0 and 1: with n that calibrate, the threshold is the k-th smallest, k = floor(promise (n + 1)), and by
    exchangeability the next one lies below it with probability k / (n + 1)."""
    rng = np.random.default_rng(1)
    spoken = [Utterance(f"{i:03}", ("clean",), rng.normal(size=1).astype(np.float32)) for i in range(100)]
    windows = windows_of(spoken, np.unique(np.concatenate([each.heard for each in spoken])))
    found = simulate(windows, np.ones(100, bool), np.ones(100, bool), [0.1], 4000)[0]["one window a speaker"]
    assert found is not None and found.divisions == 4000 and found.n == 50
    assert found.low <= 5 / 51 <= found.high + 1e-9


def test_one_window_a_speaker_keeps_what_all_windows_break() -> None:
    """Forty speakers of whom the hard ones spoke once and the easy ones often."""
    rng = np.random.default_rng(2)
    spoken = utterances(rng, [1] * 30, level=1.0) + utterances(rng, [40] * 10, level=9.0)
    windows = windows_of(spoken, thresholds_of(spoken))
    everyone = np.ones(len(spoken), bool)
    (found,) = simulate(windows, everyone, everyone, [0.1], 600)
    one, pooled = found[WAYS[0]], found[WAYS[1]]
    assert one is not None and pooled is not None
    assert one.low <= 0.1 < pooled.low
    assert pooled.n > 5 * one.n


def test_every_second_is_no_speaker() -> None:
    """Twenty speakers of a minute each are taken for 1,200: a promise of 1 % is made, and broken."""
    rng = np.random.default_rng(5)
    levels = 2 * rng.standard_normal(40)
    spoken = [
        Utterance(f"{i:02}", ("clean",), (level + 0.3 * rng.standard_normal(1500)).astype(np.float32))
        for i, level in enumerate(levels)
    ]
    windows = windows_of(spoken, thresholds_of(spoken))
    assert set(windows.seconds) == {60.0}
    everyone = np.ones(40, bool)
    (found,) = simulate(windows, everyone, everyone, [0.01], 600)
    seconds = found["every second"]
    assert found["one window a speaker"] is None and found["every clip"] is None
    assert seconds is not None and seconds.n == 1200 and seconds.low > 0.01


def test_one_level_for_all_speech_is_broken_in_a_hard_stratum() -> None:
    rng = np.random.default_rng(3)
    spoken = utterances(rng, [1] * 60, level=8.0) + utterances(rng, [1] * 30, level=0.0)
    windows = windows_of(spoken, thresholds_of(spoken))
    hard = np.arange(90) >= 60
    found, refused = simulate(windows, hard, np.ones(90, bool), [0.1, 0.02], 600)
    one, of_all = found[WAYS[0]], found[WAYS[3]]
    assert one is not None and of_all is not None
    assert one.low <= 0.1 < of_all.low
    assert refused[WAYS[0]] is None  # fifteen or so cannot


def test_another_language_is_looked_at_with_the_threshold_of_home() -> None:
    rng = np.random.default_rng(4)
    home, harder = utterances(rng, [2] * 60, level=5.0), utterances(rng, [30], level=-5.0)
    thresholds = thresholds_of([*home, *harder])
    parts: list[Windows] = [windows_of(some, thresholds) for some in (home, harder)]
    ((at_home, abroad),) = elsewhere(parts[0], parts[1:], [0.1], 400)
    assert at_home is not None and abroad is not None
    assert at_home.low <= 0.1 and abroad.mean == pytest.approx(1.0, abs=0.05)
