"""If these fail, the gate learns from words that are not there, or takes a pause for non-speech."""

import numpy as np

from whisper_steer.data.labels import NONSPEECH, SPEECH, UNKNOWN
from whisper_steer.fit.stretches import LONGEST, POOL_FRAMES, Stretch, cut


def labels(*speech: tuple[int, int]) -> np.ndarray:
    made = np.full(1500, NONSPEECH, np.int8)
    for start, end in speech:
        made[start:end] = SPEECH
    return made


def test_words_with_a_short_pause_are_one_stretch_and_with_a_long_one_two() -> None:
    assert [s for s in cut(labels((100, 130), (140, 170)), 1500) if s.speech] == [Stretch(97, 173, True)]
    two = [s for s in cut(labels((100, 130), (200, 230)), 1500) if s.speech]
    assert two == [Stretch(97, 133, True), Stretch(197, 233, True)]


def test_a_word_at_either_end_of_the_window_is_long_enough_to_pool() -> None:
    for place in ((0, 4), (1496, 1500)):
        (word,) = [s for s in cut(labels(place), 1500) if s.speech]
        assert word.end - word.start >= POOL_FRAMES
        assert word.start >= 0
        assert word.end <= 1500
        assert word.start <= place[0] < place[1] <= word.end


def test_non_speech_lies_clear_of_speech_and_the_padding_is_one_stretch() -> None:
    found = [s for s in cut(labels((300, 400)), 700) if not s.speech]
    assert all(s.end <= 285 or s.start >= 415 for s in found)
    assert all(s.end - s.start <= LONGEST for s in found if s.end <= 700)
    assert max(s.end for s in found) == 1500
    assert sum(s.start >= 700 for s in found) <= 1


def test_a_click_that_was_taken_for_speech_is_none_and_unknown_frames_are_not_speech() -> None:
    assert not [s for s in cut(labels((100, 102)), 1500) if s.speech]
    window = labels()
    window[100:200] = UNKNOWN
    assert not [s for s in cut(window, 1500) if s.speech]
