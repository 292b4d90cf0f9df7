"""If these fail, the risk is taught that right text is wrong, or that invented text is right."""

from __future__ import annotations

from typing import Any

import numpy as np

from whisper_steer.data.clips import Clip
from whisper_steer.data.recordings import Part, Script
from whisper_steer.risk.truth import truths


def clip(kind: Any, text: str | None = None, **extra: Any) -> Clip:
    return Clip(kind, "fit", "g", np.zeros(16000, np.float32), "d", id="c", text=text, **extra)


def segments(*texts: str) -> list[dict[str, Any]]:
    return [{"start": 2.0 * i, "end": 2.0 * i + 2, "text": text} for i, text in enumerate(texts)]


def kinds(of: Clip, *texts: str) -> list[str | None]:
    return [truth and truth.kind for truth in truths(of, segments(*texts))]


def test_nothing_is_right_where_nobody_speaks() -> None:
    assert kinds(clip("nonspeech"), "Thank you.", "[Music]", "") == ["non-speech", None, None]


def test_words_that_align_are_right_and_words_between_them_are_not() -> None:
    speech = clip("speech", "the cat sat on the mat and then it slept")
    found = kinds(speech, "The cat sat on the mat.", "Thanks for watching!", "And then it slept.")
    assert found == ["right", "insertions", "right"]


def test_text_that_shares_no_word_and_text_that_is_half_right() -> None:
    speech = clip("speech", "apples pears plums grapes")
    assert kinds(speech, "we went home early") == ["nothing right"]
    assert kinds(speech, "apples pears went home") == ["between"]


def test_a_loop_is_one_also_where_its_words_were_said_once() -> None:
    assert kinds(clip("speech", "I do not know"), "I do not know. " * 20) == ["loop"]


def test_text_in_a_pause_of_a_recording() -> None:
    script = Script((Part(0, 2, text="good morning everybody"), Part(2, 6, filling="noise")))
    recording = clip("recording", "good morning everybody", extra=script.to_dict())
    assert kinds(recording, "Good morning everybody.", "Bye bye.") == ["right", "pause"]
