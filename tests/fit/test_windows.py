"""If these fail, the gate learns from windows unlike those it will judge, or from labels in the wrong place."""

from itertools import cycle

import numpy as np
import pytest

from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import FRAMES, NONSPEECH, SPEECH
from whisper_steer.fit.windows import alone_window, crowded_window, hard, plan, single


def clip(kind: str, samples: np.ndarray, name: str = "a") -> Clip:
    return Clip(kind, "fit", name, samples.astype(np.float32), dataset=name)


def test_a_plan_is_the_same_for_the_same_seed_and_marks_no_speech_in_noise(rng: np.random.Generator) -> None:
    speech = [clip("speech", rng.normal(size=n) * 0.1, f"s{n}") for n in (4000, 30000, 400000)]
    noise = [clip("nonspeech", rng.normal(size=n) * 0.1, f"n{n}") for n in (2000, 500000)]
    first, second = (list(plan(speech, noise, 6, 6, seed=3)) for _ in range(2))
    assert sum(w.kind == "speech" for w in first) == 6
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.samples, b.samples)
        assert a.samples.shape == (480000,)
        assert np.abs(a.samples).max() <= 1.0
        assert 0 < a.content <= FRAMES
        assert a.kind == "speech" or not (a.labels == SPEECH).any()


def test_hard_windows_are_the_three_conditions_in_turn(rng: np.random.Generator) -> None:
    speech, noise = [clip("speech", rng.normal(size=20000) * 0.1)], [clip("nonspeech", rng.normal(size=9000))]
    windows = list(hard(speech, noise, 6, seed=0))
    assert [w.condition for w in windows] == ["0 dB", "-5 dB", "quiet"] * 2
    ratio = np.abs(single(speech[0]).samples).max() / np.abs(windows[2].samples).max()
    assert 20 * np.log10(ratio) == pytest.approx(30, abs=0.01)


def test_a_crowded_window_marks_speech_only_where_a_speech_piece_lies() -> None:
    """Otherwise the gate learns the noise between the pieces as speech."""
    word = np.concatenate([np.zeros(4000), np.sin(np.arange(8000) * 0.4), np.zeros(4000)])
    speech, hum = cycle([clip("speech", word)]), cycle([clip("nonspeech", np.full(90000, 1e-3))])
    window = crowded_window(speech, hum, np.random.default_rng(0))
    spoken = window.labels == SPEECH
    level = np.sqrt((window.samples.reshape(-1, 320) ** 2).mean(axis=1))
    assert 0.05 < spoken.mean() < 0.6
    assert np.median(level[spoken]) > 3 * np.median(level[window.labels == NONSPEECH])
    silent = crowded_window(None, hum, np.random.default_rng(0))
    assert silent.kind == "nonspeech"
    assert not (silent.labels == SPEECH).any()


def test_a_clip_alone_lies_where_a_short_recording_does_and_keeps_its_labels(
    rng: np.random.Generator,
) -> None:
    """Degraded in every way, it must still be labelled as the clean clip is, at the start, with nothing behind it."""
    word = clip("speech", np.concatenate([np.zeros(4000), np.sin(np.arange(8000) * 0.4), np.zeros(4000)]))
    hum = cycle([clip("nonspeech", rng.normal(size=90000) * 0.1)])
    clean = single(word)
    seen = set()
    for _ in range(40):
        window = alone_window(word, hum, rng)
        seen.add(window.condition)
        assert window.content == clean.content
        assert np.array_equal(window.labels, clean.labels)
        assert not window.samples[16000:].any()
        if window.condition == "as recorded":
            assert np.array_equal(window.samples, clean.samples)
    assert seen == {"as recorded", "noise", "quiet", "band"}
    noise = alone_window(next(hum), hum, rng)
    assert noise.kind == "nonspeech"
    assert not (noise.labels == SPEECH).any()
