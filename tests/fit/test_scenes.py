"""If these fail, the gate learns to listen by scenes whose labels lie in the wrong place, or unlike recordings."""

from itertools import cycle

import numpy as np
import pytest

from whisper_steer.data import labels as labels_of
from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import FRAMES, NONSPEECH, SPEECH
from whisper_steer.fit.scenes import CONDITIONS, scene, scenes, utterance


@pytest.fixture(autouse=True)
def loud_is_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """No speech may be shipped with the tests, so what Silero finds in it is replaced."""

    def loud(samples: np.ndarray) -> np.ndarray:
        n = -(-len(samples) // 320)
        return np.abs(np.pad(samples, (0, n * 320 - len(samples))).reshape(n, 320)).max(axis=1) > 0.05

    monkeypatch.setattr(labels_of, "speech_frames", loud)


@pytest.fixture
def word() -> Clip:
    tone = np.concatenate([np.zeros(16000), 0.5 * np.sin(np.arange(24000) * 0.4), np.zeros(16000)])
    return Clip("speech", "fit", "w", tone.astype(np.float32), "words")


@pytest.fixture
def hum() -> Clip:
    return Clip("nonspeech", "fit", "h", np.full(90000, 1e-3, np.float32), "hums")


def test_scenes_are_the_same_for_the_same_seed_and_marked_where_somebody_speaks(
    word: Clip, hum: Clip
) -> None:
    first, second = (list(scenes([word], [hum], 12, seed=3)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.samples, b.samples) and np.array_equal(a.labels, b.labels)
        assert a.samples.shape == (480000,) and a.samples.dtype == np.float32
        assert np.abs(a.samples).max() <= 1.0
        assert 0 < a.content <= FRAMES
        assert (a.kind == "speech") == bool((a.labels == SPEECH).any()) or a.content < FRAMES
        assert not (a.labels[a.content :] == SPEECH).any()
    assert {a.kind for a in first} == {"speech", "nonspeech"}


def test_speech_is_where_its_label_says(word: Clip, rng: np.random.Generator) -> None:
    """In silence all that is loud is the word, whatever its speed and band."""
    silence = Clip("nonspeech", "fit", "s", np.zeros(90000, np.float32), "silences")
    for _ in range(40):
        samples, spoken = utterance(word, silence, rng)
        samples = samples - np.median(samples)
        level = np.abs(np.pad(samples, (0, -len(samples) % 320)).reshape(-1, 320)).max(axis=1)
        assert len(level) == len(spoken)
        assert level[spoken].min() > 20 * np.median(level[~spoken])
        assert level[spoken].size * 0.9 < (level > level.max() / 4).sum() < level[spoken].size * 1.1 + 3


def test_nobody_speaks_where_nobody_shall(hum: Clip, word: Clip, rng: np.random.Generator) -> None:
    made = scene(cycle([word]), cycle([hum]), cycle([hum]), rng, spoken=False)
    assert made.kind == "nonspeech" and (made.labels == NONSPEECH).all()


def test_shares_are_shares() -> None:
    assert sum(CONDITIONS.values()) == pytest.approx(1)
