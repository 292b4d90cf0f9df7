"""What the backends share: their options, what they cannot do, and the shape of a result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from whisper.tokenizer import TO_LANGUAGE_CODE
from whisper.utils import format_timestamp

from whisper_steer.errors import UsageError


@dataclass(frozen=True)
class Runtime:
    """Where and how a backend runs; named as on the command line."""

    device: str | None = None
    model_dir: str | None = None
    threads: int = 0
    compute_type: str | None = None
    local_files_only: bool = False
    batched: bool = False
    batch_size: int = 8
    vad_filter: bool | None = None
    vad_parameters: dict[str, Any] = field(default_factory=dict)
    """of `faster_whisper.vad.VadOptions`"""
    device_index: int = 0
    decoding: dict[str, Any] = field(default_factory=dict)
    """options of faster-whisper's `transcribe` that openai-whisper's has not"""


class Backend(Protocol):
    """A loaded model in some runtime."""

    is_multilingual: bool

    def transcribe(self, audio: str | np.ndarray, *, verbose: bool | None, **options: Any) -> dict[str, Any]:
        """Options and result of `whisper_steer.transcribe`."""


NOT_IN = {
    "faster": ("carry_initial_prompt",),
    "transformers": (
        "carry_initial_prompt",
        "hallucination_silence_threshold",
        "patience",
        "length_penalty",
    ),
}


def refuse_missing(backend: str, options: dict[str, Any]) -> None:
    """Raise `UsageError` for an option in use that the runtime does not have."""
    used = [name for name in NOT_IN[backend] if options.get(name)]
    if used:
        raise UsageError(f"--{used[0]} is not in {backend}: leave it out, or take --backend openai")


def language_code(language: str | None) -> str | None:
    """The code of a language given by code or English name."""
    return None if language is None else TO_LANGUAGE_CODE.get(language.lower(), language.lower())


def say(segment: dict[str, Any], verbose: bool | None) -> None:
    if verbose:
        print(
            f"[{format_timestamp(segment['start'])} --> {format_timestamp(segment['end'])}] {segment['text']}"
        )


def result_of(
    segments: list[dict[str, Any]], language: str, steering: dict[str, Any] | None
) -> dict[str, Any]:
    text = "".join(segment["text"] for segment in segments)
    result: dict[str, Any] = {"text": text, "segments": segments, "language": language}
    return result if steering is None else {**result, "steering": steering}
