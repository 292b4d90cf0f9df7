"""If these fail, the gate is taught that noise is speech, or that short words are noise."""

import numpy as np

from whisper_steer.data.labels import speech_frames, spoken_frames


def test_silence_and_noise_carry_no_speech(rng: np.random.Generator) -> None:
    assert not speech_frames(np.zeros(16000, np.float32)).any()
    assert not speech_frames(rng.normal(size=16000).astype(np.float32) * 0.05).any()


def test_a_short_word_that_silero_misses_is_labelled_by_its_level(rng: np.random.Generator) -> None:
    """Otherwise the gate is taught that single digits are noise."""
    word = np.concatenate([np.zeros(3200), rng.normal(size=4800) * 0.1, np.zeros(3200)]).astype(np.float32)
    assert not speech_frames(word).any()
    assert spoken_frames(word).tolist() == [False] * 10 + [True] * 15 + [False] * 10
    assert not spoken_frames(np.zeros(8000, np.float32)).any()
