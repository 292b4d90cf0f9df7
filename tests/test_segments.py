"""If these fail, music before a word is still written down, or the word goes with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import whisper
from helpers import ALWAYS_SHUT, make_artifact
from whisper.model import Whisper

import whisper_steer
from whisper_steer.segments import BLANK, take_out_unspoken
from whisper_steer.steering import Decision, Steering, spans

NO_TIMESTAMPS, FIRST = 50362, 50363


def at(seconds: float) -> int:
    return FIRST + round(seconds / 0.02)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([at(0), 5, 6, at(4), at(4), 7, at(6)], [at(0), BLANK, at(4), at(4), 7, at(6)]),
        (
            [at(0), 5, at(5.5), at(5.5), 6, at(5.8), at(8), 7],
            [at(0), 5, at(5.5), at(5.5), 6, at(5.8), at(8), BLANK],
        ),  # cut off: it reaches to the end
        ([at(8), 5, at(9)], [at(8), 5, at(9)]),  # Whisper reports this one from the window's start
        ([at(1), 5, at(2)], [at(1), 5, at(2)]),  # the speech at 5 s must be in it: its times are wrong
        (
            [at(1), 5, at(2), at(2)],
            [at(1), BLANK, at(2), at(2)],
        ),  # the next window starts at 2 s and has that speech
        ([5, 6, 7], [5, 6, 7]),  # without timestamps a window is one segment
        ([5, NO_TIMESTAMPS, 6], [5, NO_TIMESTAMPS, 6]),  # decoders write such tokens now and then
        ([at(7), 5, at(7), at(7), 6, at(8)], [at(7), 5, at(7), at(7), 6, at(8)]),  # and again
        ([at(5), 5, at(7), at(7), 6, at(8)], [at(5), 5, at(7), at(7), BLANK, at(8)]),
        ([], []),
    ],
)
def test_text_goes_where_nobody_is_heard_and_timestamps_stay(tokens: list[int], expected: list[int]) -> None:
    decision = Decision(1.0, "untouched", ((5.0, 7.0),))
    assert take_out_unspoken(tokens, decision, FIRST) == expected
    assert take_out_unspoken(tokens, Decision(1.0, "untouched"), FIRST) == tokens


def test_text_stays_where_a_stretch_of_speech_would_lose_all_of_its_own() -> None:
    """Heard on real recordings: a sentence at 18 s of its window, written as if it were at 0 s."""
    decision = Decision(1.0, "untouched", ((0.0, 4.0), (16.0, 24.0)))
    late = [at(0), 5, at(3), at(3), 6, at(9)]
    assert take_out_unspoken(late, decision, FIRST) == late
    both = [at(0), 5, at(3), at(9), 6, at(12), at(17), 7, at(22)]
    assert take_out_unspoken(both, decision, FIRST) == [
        at(0),
        5,
        at(3),
        at(9),
        BLANK,
        at(12),
        at(17),
        7,
        at(22),
    ]


def test_the_blank_is_a_line_break_in_every_vocabulary() -> None:
    for multilingual in (False, True):
        assert whisper.tokenizer.get_tokenizer(multilingual).decode([BLANK]) == "\n"


def test_spans_are_runs_of_frames_in_seconds() -> None:
    frames = torch.zeros(1500, dtype=torch.bool)
    frames[0:5], frames[50:100], frames[1499] = True, True, True
    assert spans(frames) == ((0.0, 0.1), (1.0, 2.0), (29.98, 30.0))
    assert spans(torch.zeros(1500, dtype=torch.bool)) == ()


@pytest.mark.parametrize("scope", ["window", "segment"])
def test_a_window_that_is_speech_throughout_is_stocks_in_every_scope(tiny_model: Whisper, scope: str) -> None:
    audio = (0.1 * np.random.default_rng(0).standard_normal(16000 * 10)).astype(np.float32)
    options = {"temperature": 0.0, "fp16": False, "language": "en"}
    steering = Steering(make_artifact(tiny_model.encoder, threshold=ALWAYS_SHUT), scope=scope)
    ours = whisper_steer.transcribe(tiny_model, audio, steering=steering, **options)
    assert ours["text"] == whisper.transcribe(tiny_model, audio, **options)["text"]
