"""What every runtime shares: a user's clips, the speech for language detection, and the fields of a result."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from whisper.audio import FRAMES_PER_SECOND, N_SAMPLES, SAMPLE_RATE

from whisper_steer.errors import UsageError
from whisper_steer.explain.trace import Trace
from whisper_steer.gate.hearing import Hearing
from whisper_steer.steer.steering import Steering

Clips = list[tuple[float, float]]
"""(start, end) in seconds"""


def clips_of(clip_timestamps: str | Iterable[float] | None, seconds: float) -> Clips:
    """The clips that ``clip_timestamps`` of openai-whisper and faster-whisper name; the last may lack its end.

    Raises `UsageError`.
    """
    if isinstance(clip_timestamps, str):
        try:
            times = [float(time) for time in clip_timestamps.split(",") if time]
        except ValueError:
            raise UsageError(
                f"clip_timestamps is start,end,start,end,... in seconds, not {clip_timestamps!r}"
            ) from None
    else:
        times = [float(time) for time in clip_timestamps or []]
    times = times or [0.0]
    if len(times) % 2:
        times.append(seconds)
    return list(zip(times[::2], times[1::2], strict=True))


def everything(clips: Clips, seconds: float) -> bool:
    """Whether the clips are the whole recording."""
    return len(clips) == 1 and clips[0][0] <= 0 and clips[0][1] >= seconds


def flat(clips: Clips) -> list[float]:
    """start, end, start, end, ..."""
    return [time for clip in clips for time in clip]


def in_whole_frames(clips: Clips, seconds: float) -> Clips:
    """Clips none of which reaches behind the last whole frame of 10 ms of a recording.

    openai-whisper rounds the end of a clip to frames; where that is one behind the last, its loop never ends.
    """
    last = math.floor(seconds * FRAMES_PER_SECOND + 1e-6) / FRAMES_PER_SECOND
    return [(start, min(end, last)) for start, end in clips if start < last]


def to_decode(steering: Steering, hearing: Hearing, clips: Clips) -> Clips:
    """What the decoder gets of a user's clips: the speech in them, or in mode "steer" all of them, cut where speech
    begins and ends, so that no window holds both."""
    if steering.mode == "skip":
        return in_whole_frames(hearing.within(clips), hearing.seconds)
    edges = [0.0, *(time for span in hearing.spans for time in (span.start, span.end)), hearing.seconds]
    found = [
        (max(start, a), min(end, b))
        for start, end in clips
        for a, b in pairwise(edges)
        if min(end, b) > max(start, a)
    ]
    return in_whole_frames(found, hearing.seconds)


def common(first: Clips, second: Clips) -> Clips:
    """What lies in clips of either."""
    found = [(max(a, c), min(b, d)) for a, b in first for c, d in second]
    return [(start, end) for start, end in found if end > start]


def cut(clips: Clips, longest: float) -> Clips:
    """The clips, in pieces of at most ``longest`` seconds."""
    return [
        (at, min(end, at + longest)) for start, end in clips for at in np.arange(start, end, longest).tolist()
    ]


def joined(
    samples: np.ndarray, speech: Clips, longest: float
) -> tuple[np.ndarray, list[dict[str, float]], list[dict[str, int]]]:
    """Pieces of speech one behind the other: their samples, the windows of at most ``longest`` seconds that they make
    there, and where in the recording each piece was, in samples."""
    windows: list[dict[str, float]] = []
    chunks = [{"start": round(a * SAMPLE_RATE), "end": round(b * SAMPLE_RATE)} for a, b in speech]
    at = 0.0
    for chunk in chunks:
        seconds = (chunk["end"] - chunk["start"]) / SAMPLE_RATE
        if windows and at + seconds - windows[-1]["start"] <= longest:
            windows[-1]["end"] = at + seconds
        else:
            windows.append({"start": at, "end": at + seconds})
        at += seconds
    return np.concatenate([samples[c["start"] : c["end"]] for c in chunks]), windows, chunks


def pieces(steering: Steering, hearing: Hearing, clips: Clips, longest: float) -> Clips:
    """`to_decode` in pieces of at most ``longest`` seconds; speech is cut where it is weakest."""
    if steering.mode == "skip":
        return hearing.chunks(longest, clips)
    return cut(to_decode(steering, hearing, clips), longest)


def first_speech(audio: np.ndarray | Tensor, clips: Clips) -> np.ndarray | Tensor:
    """The first 30 s of speech, without the pauses: what the language is detected on."""
    parts: list[Any] = []
    room = N_SAMPLES
    for start, end in clips:
        first = round(start * SAMPLE_RATE)
        parts.append(audio[first : min(round(end * SAMPLE_RATE), first + room)])
        room -= len(parts[-1])
        if room <= 0:
            break
    return torch.cat(parts) if isinstance(audio, Tensor) else np.concatenate(parts)


def end_of_clip(seek: float, clips: Sequence[tuple[float, float]]) -> float:
    """Where the clip ends that a window at ``seek`` seconds lies in; infinite where it lies in none.

    Behind the end of a clip a window is padded, and Whisper may put timestamps there.
    """
    return next((end for start, end in clips if start - 0.01 <= seek < end), float("inf"))


def about(steering: Steering, hearing: Hearing) -> dict[str, Any]:
    """The field "steering" of a result: what acted, the seconds listened to, the spans in which somebody speaks."""
    spans = [asdict(span) for span in hearing.spans]
    return {**steering.describe(), "seconds": hearing.seconds, "spans": spans}


def evidence_of(hearing: Hearing, start: float, end: float, trace: Trace | None = None) -> dict[str, Any]:
    """The field "steering" of a segment; with a trace of the named latents, "because" as well."""
    found: dict[str, Any] = {"evidence": round(hearing.strongest(start, end), 3)}
    if trace is not None:
        found["because"] = [asdict(reason) for reason in trace.reasons(start, end)]
    return found


def with_evidence(
    segments: Sequence[dict[str, Any]], hearing: Hearing, trace: Trace | None = None
) -> list[dict[str, Any]]:
    """Segments with "start" and "end" -> the same with the field "steering"."""
    return [{**s, "steering": evidence_of(hearing, s["start"], s["end"], trace)} for s in segments]


def until(timed: dict[str, Any], end: float) -> dict[str, Any]:
    """A segment with its words, or a word, none of whose times lie behind ``end``."""
    inside = {**timed, "start": min(timed["start"], end), "end": min(timed["end"], end)}
    if timed.get("words"):
        inside["words"] = [until(word, end) for word in timed["words"]]
    return inside
