"""If these fail, a live stream is told to have speech where the recording of it has none, or the other way round."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import ALWAYS_SHUT, make_artifact
from whisper.model import Whisper

import whisper_steer
from whisper_steer.audio.load import load_audio
from whisper_steer.errors import AudioError, UsageError
from whisper_steer.gate.spans import GAP
from whisper_steer.live.listener import HOP, Event, Listener
from whisper_steer.live.turns import ABOVE
from whisper_steer.steer.steering import Steering

RATE = 16000
DEMO = Path(whisper_steer.__file__).parent / "assets" / "demo.flac"


def fed(listener: Listener, samples: np.ndarray, chunk: int) -> list[Event]:
    found = [event for i in range(0, len(samples), chunk) for event in listener.feed(samples[i : i + chunk])]
    return [*found, *listener.finish()]


@pytest.fixture(scope="module")
def visit() -> np.ndarray:
    """The demonstration from 1:00 to 1:55: sentences, footsteps, sentences, a clock."""
    return load_audio(DEMO)[60 * RATE : 115 * RATE]


def test_a_stream_and_its_recording_have_the_same_spans(tiny_en: Whisper, visit: np.ndarray) -> None:
    """Live spans, joined over gaps that are no pauses offline, lie where `listen` finds them; told within a second."""
    events = fed(Listener(tiny_en), visit, 512)
    hearing = whisper_steer.listen(tiny_en, visit)
    joined: list[list[float]] = []
    for start, end in zip(events[::2], events[1::2], strict=True):
        assert (start.kind, end.kind) == ("start", "end")
        assert start.heard_at - start.time < 1.5 and end.heard_at - end.time < 1.0
        if joined and start.time - joined[-1][1] < GAP:
            joined[-1][1] = end.time
        else:
            joined.append([start.time, end.time])
    spans = [(span.start, span.end) for span in hearing.spans]
    assert len(joined) == len(spans) >= 2
    for live, span in zip(joined, spans, strict=True):
        assert live == pytest.approx(span, abs=GAP)


def test_evidence_agrees_with_the_offline_gate_up_to_look_ahead(tiny_en: Whisper, visit: np.ndarray) -> None:
    """A step is judged again while 0.64 s come behind it: then nearly all are as in the recording, at once most are."""
    listener = Listener(tiny_en)
    offline = whisper_steer.listen(tiny_en, visit)
    agreed: dict[int, list[bool]] = {4: [], 15: []}
    for i in range(0, len(visit) - HOP, HOP):
        listener.feed(visit[i : i + HOP])
        first, evidence = listener.evidence()
        for ahead, same in agreed.items():
            for step in range(len(evidence) - 6 - ahead, len(evidence) - ahead):
                if step >= 0:
                    live = evidence[step] >= offline.threshold
                    same.append(bool(live == (offline.evidence[first + step] >= offline.threshold)))
    assert np.mean(agreed[15]) > 0.95
    assert np.mean(agreed[4]) > 0.9


def test_chunks_of_any_size_tell_the_same(tiny_model: Whisper) -> None:
    """Also a chunk without samples, and integers of 16 bit, as a sound card gives them."""
    samples = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    samples[2 * RATE : 3 * RATE] = 0
    probe = Listener(tiny_model, steering=Steering(make_artifact(tiny_model.encoder, threshold=0.0)))
    probe.feed(samples)
    threshold = float(np.quantile(probe.evidence()[1], 0.6)) - ABOVE
    listener = Listener(tiny_model, steering=Steering(make_artifact(tiny_model.encoder, threshold=threshold)))
    expected = fed(listener, samples, len(samples))
    assert expected and expected[-1].heard_at == 5.0
    for chunk in (100, HOP, 7001):
        assert fed(listener, samples, chunk) == expected
    assert listener.feed(np.zeros(0, np.float32)) == []
    integers = np.round(samples * 32767).astype(np.int16)
    assert len(fed(listener, integers, 512)) == len(expected)


def test_two_streams_share_a_model(tiny_model: Whisper) -> None:
    rng = np.random.default_rng(1)
    one, other = (rng.normal(0, size, 3 * RATE).astype(np.float32) for size in (0.1, 0.001))
    steering = Steering(make_artifact(tiny_model.encoder, threshold=0.0))
    listeners = [Listener(tiny_model, steering=steering) for _ in range(3)]
    for i in range(0, len(one), HOP):
        listeners[0].feed(one[i : i + HOP])
        listeners[1].feed(other[i : i + HOP])
    listeners[2].feed(one)
    assert np.array_equal(listeners[0].evidence()[1], listeners[2].evidence()[1])
    assert not np.array_equal(listeners[0].evidence()[1], listeners[1].evidence()[1])


def test_the_end_of_the_stream_ends_what_is_being_said(tiny_model: Whisper) -> None:
    """Whose last words are cut off by hanging up; and the next call begins at 0 s."""
    listener = Listener(
        tiny_model, steering=Steering(make_artifact(tiny_model.encoder, threshold=ALWAYS_SHUT))
    )
    for _ in range(2):
        (start,) = listener.feed(np.zeros(RATE, np.float32))
        assert (start.kind, start.time) == ("start", 0.0) and listener.speaking
        (end,) = listener.finish()
        assert (end.kind, end.time, end.heard_at) == ("end", 1.0, 1.0)
        assert not listener.speaking and listener.seconds == 0.0


def test_a_stream_shorter_than_a_frame_tells_nothing(tiny_model: Whisper) -> None:
    listener = Listener(
        tiny_model, steering=Steering(make_artifact(tiny_model.encoder, threshold=ALWAYS_SHUT))
    )
    assert listener.feed(np.zeros(50, np.float32)) == [] and listener.finish() == []


def test_what_is_no_audio_is_refused(tiny_model: Whisper) -> None:
    steering = Steering(make_artifact(tiny_model.encoder, threshold=0.0))
    listener = Listener(tiny_model, steering=steering)
    with pytest.raises(AudioError, match="NaN"):
        listener.feed(np.full(100, np.nan, np.float32))
    with pytest.raises(UsageError, match="steering that is on"):
        Listener(tiny_model, steering=Steering(steering.artifact, mode="off"))
