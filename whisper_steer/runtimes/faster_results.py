"""What faster-whisper's two ways of transcribing share here: segments and infos with the fields of steering."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from faster_whisper.transcribe import Segment as StockSegment
from faster_whisper.transcribe import TranscriptionInfo as StockInfo
from whisper.audio import SAMPLE_RATE

from whisper_steer.gate.hearing import Hearing
from whisper_steer.runtimes import results
from whisper_steer.steer.steering import Steering

Found = tuple[Iterator["Segment"], "TranscriptionInfo"]


@dataclass
class Segment(StockSegment):  # type: ignore[misc]
    """faster-whisper's segment."""

    steering: dict[str, float] | None = None
    """``evidence``: the strongest in its time, a logit"""


@dataclass
class TranscriptionInfo(StockInfo):  # type: ignore[misc]
    """faster-whisper's info."""

    steering: dict[str, Any] | None = None
    """as in the result of `whisper_steer.transcribe`"""


@dataclass
class Language:
    """The language found in speech, as options and as fields of an info."""

    options: dict[str, Any]
    fields: dict[str, Any]

    def write(self, info: StockInfo, clips: results.Clips) -> StockInfo:
        return replace(info, duration_after_vad=sum(end - start for start, end in clips), **self.fields)


def detected(
    model: Any,
    samples: Any,
    speech: results.Clips,
    options: dict[str, Any],
    has_language: bool | None,
) -> Language:
    if has_language or options.get("language") is not None or not model.model.is_multilingual or not speech:
        return Language({}, {})
    found = model.detect_language(np.asarray(results.first_speech(samples, speech)))
    language, probability, all_of_them = found
    return Language(
        {"language": language}, {"language_probability": probability, "all_language_probs": all_of_them}
    )


def nothing(
    stock: Any, steering: Steering, hearing: Hearing, options: dict[str, Any], **changes: Any
) -> Found:
    """The result where nobody speaks: stock's info of an empty second, without segments."""
    second = np.zeros(SAMPLE_RATE, np.float32)
    _, info = stock(second, language=options.get("language") or "en", **changes)
    info = replace(info, duration=hearing.seconds, duration_after_vad=0.0)
    return described(iter(()), info, steering, hearing)


def described(
    segments: Iterable[StockSegment],
    info: StockInfo,
    steering: Steering | None = None,
    hearing: Hearing | None = None,
) -> Found:
    """Segments and info with the fields of steering."""
    if steering is None or hearing is None:
        return (Segment(**vars(s)) for s in segments), TranscriptionInfo(**vars(info))
    steered = (Segment(**vars(s), steering=results.evidence_of(hearing, s.start, s.end)) for s in segments)
    return steered, TranscriptionInfo(**vars(info), steering=results.about(steering, hearing))


def silero(samples: np.ndarray, parameters: Any) -> results.Clips:
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    options = VadOptions(**parameters) if isinstance(parameters, dict) else parameters
    found = get_speech_timestamps(samples, options)
    return [(chunk["start"] / SAMPLE_RATE, chunk["end"] / SAMPLE_RATE) for chunk in found]


def common(first: results.Clips, second: results.Clips) -> results.Clips:
    found = [(max(a, c), min(b, d)) for a, b in first for c, d in second]
    return [(start, end) for start, end in found if end > start]
