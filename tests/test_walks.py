"""If these fail, a fit without recordings learns from sounds that are not like any recorded ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from whisper_steer.data.clips import Clip
from whisper_steer.data.learn_sounds import classes, model_of, spectrum
from whisper_steer.errors import DataError, UsageError
from whisper_steer.sounds import walks
from whisper_steer.sounds.walks import PATCH, STEP_DB, Walks

RATE = 16000


def tones(*hz: float, seconds: float = 1.0) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return np.concatenate([0.3 * np.sin(2 * np.pi * f * t) for f in hz]).astype(np.float32)


def model(samples: np.ndarray) -> Walks:
    stored = model_of([Clip("nonspeech", "fit", "a", samples, "tones")], 0)
    return Walks(
        -STEP_DB * stored["patches"].astype(float),
        STEP_DB * stored["spread"].astype(float),
        stored["course"].astype(int) - 1,
    )


def test_a_walk_sounds_like_what_it_was_learned_from() -> None:
    """Two tones in turn: the energy of every walk lies at one of them, give or take the move in pitch."""
    learned = model(tones(500, 2000, 500, 2000))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        samples = walks.sounding(learned.draw(rng, 3.0), rng)
        power = np.abs(np.fft.rfft(samples)) ** 2
        hz = np.fft.rfftfreq(len(samples), 1 / RATE)
        near = [power[(hz > f / 1.35) & (hz < f * 1.35)].sum() / power.sum() for f in (500, 2000)]
        assert sum(near) > 0.9


def test_the_course_is_that_of_the_recording() -> None:
    """Without it a bark would be a drone of the same spectrum."""
    learned = model(np.concatenate([tones(800, seconds=0.2), np.zeros(4800, np.float32)] * 6))
    loud = learned.patches.max(axis=(1, 2))[learned.course[learned.course >= 0]] > -30
    lengths = np.diff(np.flatnonzero(np.diff(loud.astype(int))))
    assert 2 <= np.median(lengths) <= 8


def test_phases_are_found_for_the_spectrum_that_is_asked_for() -> None:
    asked = spectrum(tones(700, 1500, seconds=0.5)).reshape(-1, walks.BANDS)
    samples = walks.sounding(asked.T, np.random.default_rng(0))
    found = spectrum(samples).reshape(-1, walks.BANDS)
    n = min(len(found), len(asked)) - 2
    loud = asked[2:n] > -25
    assert np.abs(found[2:n] - asked[2:n])[loud].mean() < 4


def test_the_same_seed_is_the_same_sound() -> None:
    names = sorted(walks.load())
    first, again, other = (walks.walk(names[0], 2.0, seed) for seed in (1, 1, 2))
    assert first.shape == (32000,) and first.dtype == np.float32 and np.abs(first).max() <= 1
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert all(np.isfinite(walks.walk(name, 1.0, 3)).all() for name in names)


def test_classes_with_few_recordings_share_a_model() -> None:
    clips = [Clip("nonspeech", "fit", str(i), tones(500), "city", label="dog_bark") for i in range(8)]
    clips += [Clip("nonspeech", "fit", str(i), tones(500), "city", label=f"rare {i}") for i in range(3)]
    assert {name: len(mine) for name, mine in classes(clips).items()} == {"city": 3, "city dog bark": 8}


def test_what_cannot_be_drawn_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no learned sound is called 'speech'"):
        walks.walk("speech", 1.0, 0)
    with pytest.raises(UsageError, match="positive duration"):
        walks.walk(sorted(walks.load())[0], 0.0, 0)
    (tmp_path / "walks.safetensors").write_bytes(b"half")
    with pytest.raises(DataError, match="no learned sounds can be read"):
        walks.load(tmp_path / "walks.safetensors")


def test_the_models_are_far_coarser_than_the_recordings() -> None:
    """Else the pack would ship recordings: each class has ten times as many patches of 40 ms as spectra for them."""
    for each in walks.load().values():
        course = each.course[each.course >= 0]
        assert len(course) / len(each.patches) >= 8 and PATCH * 10 == 40
