"""What faster-whisper's two ways of transcribing share: the language of speech, silence, options handed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
from faster_whisper.transcribe import TranscriptionInfo as StockInfo
from faster_whisper.vad import VadOptions, get_speech_timestamps
from whisper.audio import SAMPLE_RATE

from whisper_steer.audio.load import load_audio
from whisper_steer.gate.hearing import Hearing
from whisper_steer.runtimes import results
from whisper_steer.runtimes.faster_results import Found, described
from whisper_steer.steer.steering import Steering

OURS = ("self", "audio", "clip_timestamps", "vad_filter", "vad_parameters")
"""arguments that steering reads before stock does"""

TEMPERATURES = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
SUPPRESSED = [-1]
PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"
"""defaults of faster-whisper"""


@dataclass
class Language:
    """The language found in speech, as options and as fields of an info."""

    options: dict[str, Any]
    fields: dict[str, Any]

    def write(self, info: StockInfo, clips: results.Clips) -> StockInfo:
        return replace(info, duration_after_vad=sum(end - start for start, end in clips), **self.fields)


def read(audio: Any) -> np.ndarray:
    """Samples of what stock takes as well: a path, an open file, an array."""
    return load_audio(audio.read() if hasattr(audio, "read") else audio)


def passed_on(function: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Of the arguments of one of our methods those that stock's ``function`` takes as they are."""
    return {n: given[n] for n in signature(function).parameters if n in given and n not in OURS}


def detect(model: Any, samples: Any, speech: results.Clips, options: dict[str, Any]) -> Language:
    """The language that stock finds in speech; nothing where the user names one or there is only one."""
    if options.get("language") is not None or not model.model.is_multilingual or not speech:
        return Language({}, {})
    language, probability, every = model.detect_language(np.asarray(results.first_speech(samples, speech)))
    return Language(
        {"language": language}, {"language_probability": probability, "all_language_probs": every}
    )


def nothing(
    stock: Any, steering: Steering, hearing: Hearing, options: dict[str, Any], **changes: Any
) -> Found:
    """The result where nobody speaks: stock's info of an empty second, without segments."""
    second = np.zeros(SAMPLE_RATE, np.float32)
    _, info = stock(second, language=options.get("language") or "en", **changes)
    info = replace(info, duration=hearing.seconds, duration_after_vad=0.0)
    return described(iter(()), info, steering, hearing)


def silero(samples: np.ndarray, options: VadOptions) -> results.Clips:
    """Where Silero hears speech, in seconds."""
    found = get_speech_timestamps(samples, options)
    return [(chunk["start"] / SAMPLE_RATE, chunk["end"] / SAMPLE_RATE) for chunk in found]


def silero_options(parameters: dict[str, Any] | VadOptions | None, **defaults: Any) -> VadOptions:
    """What a user gave as ``vad_parameters``; ``defaults`` where it is None."""
    if isinstance(parameters, VadOptions):
        return parameters
    return VadOptions(**(defaults if parameters is None else parameters))
