"""If these fail, a stratum holds other speech than its name says, and its promise is that of something else."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import make_artifact
from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import spoken_frames
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import AudioError
from whisper_steer.fit.degrade import distant
from whisper_steer.fit.strata import calibrate_strata, heard, steps_of_frames, utterances
from whisper_steer.gate.spans import audible


def clip_of(samples: np.ndarray, speaker: str = "a", language: str | None = "en") -> Clip:
    return Clip("speech", "choose", speaker, samples, "d", id=speaker, language=language)


@pytest.fixture
def noise() -> Clip:
    samples = np.random.default_rng(3).normal(size=16000).astype(np.float32) * 0.1
    return Clip("nonspeech", "choose", "n", samples, "d", id="n")


def test_a_clip_is_heard_as_recorded_in_noise_and_from_afar(
    tiny_model: Whisper, spoken: np.ndarray, noise: Clip
) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=0.0)
    prefix, samples = Prefix(tiny_model.encoder, artifact.gate_point), spoken[: 6 * 16000]
    found = list(utterances(prefix, artifact.gate, clip_of(samples), [noise], 0))
    assert [each.strata for each in found] == [("clean", "language en"), ("noisy",), ("far",)]
    steps = steps_of_frames(spoken_frames(samples), len(samples))
    assert {len(each.heard) for each in found} == {int(steps.sum())}
    np.testing.assert_array_equal(found[0].heard, heard(prefix, artifact.gate, samples, steps))
    assert len({each.heard.tobytes() for each in found}) == 3
    assert [each.strata[0] for each in utterances(prefix, artifact.gate, clip_of(samples), [], 0)] == [
        "clean",
        "far",
    ]
    (only,) = utterances(prefix, artifact.gate, clip_of(samples, language=None), [noise], 0, hard=False)
    assert only.strata == ("clean",)
    word = np.random.default_rng(0).normal(size=8000).astype(np.float32) * 0.1
    (brief,) = utterances(prefix, artifact.gate, clip_of(word), [], 0, hard=False)
    assert brief.strata == ("one word", "language en")
    assert not list(utterances(prefix, artifact.gate, clip_of(np.zeros(16000, np.float32)), [noise], 0))


def test_from_afar_is_fainter_and_smeared(spoken: np.ndarray) -> None:
    samples = spoken[: 8 * 16000]
    levels = []
    for seed in range(20):
        far = distant(samples, np.random.default_rng(seed))
        assert far.shape == samples.shape and far.dtype == np.float32
        levels.append(10 * np.log10(np.mean(far**2) / np.mean(samples**2)))
    assert min(levels) > -36 and max(levels) < -5
    click = np.zeros(16000, np.float32)
    click[0] = 1.0
    tail = np.abs(distant(click, np.random.default_rng(0)))
    assert tail[10:1600].mean() > 2 * tail[-1600:].mean() > 0


def test_one_clip_of_each_speaker_calibrates_and_broken_files_do_not(
    tiny_model: Whisper, noise: Clip
) -> None:
    def broken() -> np.ndarray:
        raise AudioError("cannot be read")

    word = np.random.default_rng(0).normal(size=8000).astype(np.float32) * 0.1
    clips = [clip_of(word * (1 + i), f"speaker{i % 3}") for i in range(6)]
    clips.append(Clip("speech", "choose", "lost", broken, "d", id="lost"))
    artifact = make_artifact(tiny_model.encoder, threshold=0.0)
    found = calibrate_strata(Prefix(tiny_model.encoder, artifact.gate_point), artifact, clips, [noise], 0)
    assert {each.stratum: (each.windows, each.speakers) for each in found} == {
        "one word": (3, 3), "noisy": (3, 3), "far": (3, 3), "language en": (3, 3)
    }  # fmt: skip
    assert all(each.promise == pytest.approx(0.25) for each in found)


def test_steps_hold_what_either_of_their_frames_holds() -> None:
    frames = np.array([True, False, False, False, False, True, True])
    np.testing.assert_array_equal(steps_of_frames(frames, 7 * 320), [True, False, True, True])
    assert audible(np.zeros(0, np.float32)).size == 0
