"""If these fail, a user's clips are not kept to, the language is that of a pause, or a segment stands elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import ALWAYS_OPEN, Told, make_artifact
from whisper.model import Whisper

from whisper_steer.errors import UsageError
from whisper_steer.gate.hearing import Hearing
from whisper_steer.runtimes import results


@pytest.fixture
def hearing(tiny_model: Whisper) -> Hearing:
    """Speech in 10 to 20 s and in 40 to 60 s of 90."""
    return told(tiny_model).listen(None, np.zeros(90 * 16000, np.float32))  # type: ignore[arg-type]


def told(model: Whisper, **options: str) -> Told:
    artifact = make_artifact(model.encoder, threshold=ALWAYS_OPEN)
    return Told(artifact, [(10.0, 20.0), (40.0, 60.0)], **options)


@pytest.mark.parametrize(
    ("given", "clips"),
    [
        ("0", [(0.0, 90.0)]),
        ("", [(0.0, 90.0)]),
        (None, [(0.0, 90.0)]),
        ([], [(0.0, 90.0)]),
        ("5,20,30", [(5.0, 20.0), (30.0, 90.0)]),
        ([5, 20.5], [(5.0, 20.5)]),
    ],
)
def test_clips_are_read_as_stock_reads_them(given: object, clips: list[tuple[float, float]]) -> None:
    assert results.clips_of(given, 90.0) == clips  # type: ignore[arg-type]
    assert results.everything(clips, 90.0) == (len(clips) == 1 and clips[0] == (0.0, 90.0))
    assert results.clips_of(results.flat(clips), 90.0) == clips


def test_clips_that_are_no_numbers_are_told() -> None:
    with pytest.raises(UsageError, match="start,end"):
        results.clips_of("a,b", 90.0)


def test_speech_is_decoded_or_all_of_it_cut_where_speech_begins_and_ends(
    tiny_model: Whisper, hearing: Hearing
) -> None:
    skip, steer = told(tiny_model), told(tiny_model, mode="steer")
    everything = [(0.0, 90.0)]
    assert results.to_decode(skip, hearing, everything) == [(10.0, 20.0), (40.0, 60.0)]
    assert results.to_decode(steer, hearing, everything) == [
        (0.0, 10.0),
        (10.0, 20.0),
        (20.0, 40.0),
        (40.0, 60.0),
        (60.0, 90.0),
    ]
    clips = [(15.0, 30.0), (50.0, 55.0)]
    assert results.to_decode(skip, hearing, clips) == [(15.0, 20.0), (50.0, 55.0)]
    assert results.to_decode(steer, hearing, clips) == [(15.0, 20.0), (20.0, 30.0), (50.0, 55.0)]


def test_the_language_is_heard_in_speech_without_its_pauses() -> None:
    audio = np.arange(90 * 16000, dtype=np.float32)
    short = [(10.0, 20.0), (40.0, 45.0)]
    expected = np.concatenate([audio[160000:320000], audio[640000:720000]])
    assert np.array_equal(results.first_speech(audio, short), expected)
    found = results.first_speech(torch.from_numpy(audio), short)
    assert isinstance(found, torch.Tensor) and np.array_equal(found.numpy(), expected)
    long = results.first_speech(audio, [(10.0, 20.0), (40.0, 80.0), (85.0, 90.0)])
    assert len(long) == 30 * 16000
    assert long[-1] == audio[60 * 16000 - 1]


def test_clips_in_common_and_in_pieces() -> None:
    assert results.common([(0.0, 10.0), (20.0, 30.0)], [(5.0, 25.0)]) == [(5.0, 10.0), (20.0, 25.0)]
    assert results.common([(0.0, 10.0)], [(10.0, 20.0)]) == []
    assert results.cut([(0.0, 70.0), (80.0, 90.0)], 30.0) == [
        (0.0, 30.0),
        (30.0, 60.0),
        (60.0, 70.0),
        (80.0, 90.0),
    ]


def test_pieces_are_joined_to_windows_that_are_not_too_long() -> None:
    samples = np.arange(90 * 16000, dtype=np.float32)
    pieces = [(1.0, 11.0), (20.0, 35.0), (40.0, 50.0), (60.0, 90.0)]
    joined, windows, chunks = results.joined(samples, pieces, 30.0)
    assert windows == [
        {"start": 0.0, "end": 25.0},
        {"start": 25.0, "end": 35.0},
        {"start": 35.0, "end": 65.0},
    ]
    assert np.array_equal(joined, np.concatenate([samples[c["start"] : c["end"]] for c in chunks]))
    assert [(c["start"] / 16000, c["end"] / 16000) for c in chunks] == pieces


def test_results_say_what_acted_and_where(tiny_model: Whisper, hearing: Hearing) -> None:
    about = results.about(told(tiny_model), hearing)
    assert (about["artifact"], about["mode"], about["seconds"]) == ("by-hand", "skip", 90.0)
    assert [(s["start"], s["end"], s["evidence"]) for s in about["spans"]] == [
        (10.0, 20.0, 1.0),
        (40.0, 60.0, 1.0),
    ]
    segments = [{"start": 12.0, "end": 14.0, "text": "a"}, {"start": 25.0, "end": 30.0, "text": "b"}]
    found = results.with_evidence(segments, hearing)
    assert [s["steering"] for s in found] == [{"evidence": 1.0}, {"evidence": -1.0}]
    assert [{k: v for k, v in s.items() if k != "steering"} for s in found] == segments


def test_no_clip_ends_behind_the_last_whole_frame() -> None:
    """openai-whisper's loop never ends on such a clip: the program would hang."""
    assert results.in_whole_frames([(0.0, 2.0), (5.0, 10.006)], 10.006) == [(0.0, 2.0), (5.0, 10.0)]
    assert results.in_whole_frames([(1.0, 3.0), (10.003, 10.006)], 10.006) == [(1.0, 3.0)]
    assert results.in_whole_frames([(0.0, 10.0)], 10.0) == [(0.0, 10.0)]
