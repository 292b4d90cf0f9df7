"""faster-whisper's segments and infos with the fields of steering."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from faster_whisper.transcribe import Segment as StockSegment
from faster_whisper.transcribe import TranscriptionInfo as StockInfo
from whisper.audio import FRAMES_PER_SECOND

from whisper_steer.gate.hearing import Hearing
from whisper_steer.guard.ct2 import Guarding
from whisper_steer.runtimes import results
from whisper_steer.steer.steering import Steering

Found = tuple[Iterator["Segment"], "TranscriptionInfo"]


@dataclass
class Segment(StockSegment):  # type: ignore[misc]
    """faster-whisper's segment."""

    steering: dict[str, Any] | None = None
    """``evidence``: the strongest in its time, a logit; ``loop_mended``: True in a window in which a loop was mended"""
    risk: float | None = None
    """as in the result of `whisper_steer.transcribe`; None where the artifact cannot tell"""


@dataclass
class TranscriptionInfo(StockInfo):  # type: ignore[misc]
    """faster-whisper's info."""

    steering: dict[str, Any] | None = None
    """as in the result of `whisper_steer.transcribe`"""


def until_clips_end(segments: Iterable[StockSegment], clips: results.Clips) -> Iterator[StockSegment]:
    """Segments none of whose times lie behind the clip that they were heard in."""
    for segment in segments:
        end = results.end_of_clip(segment.seek / FRAMES_PER_SECOND, clips)
        words = [replace(w, start=min(w.start, end), end=min(w.end, end)) for w in segment.words or []]
        yield replace(
            segment, start=min(segment.start, end), end=min(segment.end, end), words=words or segment.words
        )


def with_text(segments: Iterable[StockSegment]) -> Iterator[StockSegment]:
    """Segments that say something, counted anew: an edited window that ends at once leaves one that does not."""
    written = (segment for segment in segments if segment.text.strip())
    return (replace(segment, id=i) for i, segment in enumerate(written, start=1))


def described(
    segments: Iterable[StockSegment],
    info: StockInfo,
    steering: Steering | None = None,
    hearing: Hearing | None = None,
    guard: Guarding | None = None,
) -> Found:
    """Segments and info with the fields of steering."""
    risk = None if steering is None or hearing is None else steering.risk

    def about(segment: StockSegment) -> dict[str, Any] | None:
        found = {} if hearing is None else results.evidence_of(hearing, segment.start, segment.end)
        if guard is not None and guard.loop_mended(segment.no_speech_prob):
            found["loop_mended"] = True
        return found or None

    about_all = None if steering is None or hearing is None else results.about(steering, hearing)
    described_segments = (
        Segment(
            **vars(segment),
            steering=about(segment),
            risk=None if risk is None or hearing is None else risk.of(vars(segment), hearing),
        )
        for segment in segments
    )
    return described_segments, TranscriptionInfo(**vars(info), steering=about_all)
