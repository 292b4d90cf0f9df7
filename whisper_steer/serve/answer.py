"""A result of `whisper_steer.transcribe` as OpenAI's interface answers it.

``verbose_json`` has fields beside the interface's: ``steering`` of the recording and of every segment, and ``risk`` of
a segment, as `whisper_steer.transcribe` has them. The official client hands on what it does not know.
"""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response
from whisper.tokenizer import LANGUAGES

from whisper_steer.files.output import finite, subtitles
from whisper_steer.serve.form import Asked

SEGMENT_FIELDS = (
    "id",
    "seek",
    "start",
    "end",
    "text",
    "tokens",
    "temperature",
    "avg_logprob",
    "compression_ratio",
    "no_speech_prob",
)
STEERING_FIELDS = ("risk", "steering")


def answer(result: dict[str, Any], asked: Asked, seconds: float) -> Response:
    """The answer in the format asked for. ``seconds``: the recording's length."""
    text = result["text"].strip()
    match asked.response_format:
        case "json":
            return JSONResponse({"text": text, "usage": usage(seconds)})
        case "verbose_json":
            return JSONResponse(finite(verbose(result, asked, seconds)))
        case "text":
            return PlainTextResponse(f"{text}\n")
        case kind:
            media = "text/vtt" if kind == "vtt" else "application/x-subrip"
            return Response(subtitles(result, kind), media_type=f"{media}; charset=utf-8")


def usage(seconds: float) -> dict[str, Any]:
    return {"type": "duration", "seconds": math.ceil(seconds)}


def verbose(result: dict[str, Any], asked: Asked, seconds: float) -> dict[str, Any]:
    """``verbose_json``: segments, words, or both."""
    language = "en" if asked.task == "translate" else result["language"]
    found: dict[str, Any] = {
        "task": asked.task,
        "language": LANGUAGES.get(language, language),
        "duration": seconds,
        "text": result["text"].strip(),
        "usage": usage(seconds),
    }
    segments = result["segments"]
    if "segment" in asked.granularities:
        found["segments"] = [_segment(each) for each in segments]
    if "word" in asked.granularities:
        found["words"] = [
            {"word": word["word"].strip(), "start": float(word["start"]), "end": float(word["end"])}
            for segment in segments
            for word in segment.get("words") or []
        ]
    if "steering" in result:
        found["steering"] = result["steering"]
    return found


def _segment(segment: dict[str, Any]) -> dict[str, Any]:
    """What a runtime does not know, as transformers most of it, is null."""
    fields = {name: segment.get(name) for name in SEGMENT_FIELDS}
    return fields | {name: segment[name] for name in STEERING_FIELDS if name in segment}


def server_sent(event: dict[str, Any]) -> bytes:
    """One event as it goes over the line."""
    return f"data: {json.dumps(event)}\n\n".encode()


__all__ = ["answer", "server_sent", "usage", "verbose"]
