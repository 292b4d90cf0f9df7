"""Options of ``--backend faster`` that openai-whisper's command has not; named as whisper-ctranslate2 names them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from whisper_steer.cli.options import decorated

F = TypeVar("F", bound=Callable[..., Any])

DECODING: list[tuple[str, Any, Any, str]] = [
    ("hotwords", str, None, "With faster: words to expect."),
    ("prefix", str, None, "With faster: how the first window's text begins."),
    ("multilingual", bool, False, "With faster: detect the language of each window."),
    (
        "repetition_penalty",
        click.FloatRange(min=0, min_open=True),
        1.0,
        "With faster: over 1, against repetition.",
    ),
    ("no_repeat_ngram_size", click.IntRange(min=0), 0, "With faster: no n tokens twice; 0 allows it."),
    ("suppress_blank", bool, True, "With faster: no window may begin with a blank."),
    (
        "prompt_reset_on_temperature",
        click.FloatRange(min=0),
        0.5,
        "With faster: over this temperature, forget the text so far.",
    ),
]
"""handed on to `whisper_steer.faster.WhisperModel.transcribe` under the same names"""

VAD: list[tuple[str, Any, Any, str]] = [
    ("vad_onset", click.FloatRange(0, 1), None, "With vad_filter: Silero's threshold.  [default: 0.5]"),
    (
        "vad_min_speech_duration_ms",
        click.IntRange(min=0),
        None,
        "With vad_filter: shortest speech.  [default: 0]",
    ),
    (
        "vad_max_speech_duration_s",
        click.FloatRange(min=0, min_open=True),
        None,
        "With vad_filter: longest speech.",
    ),
    (
        "vad_min_silence_duration_ms",
        click.IntRange(min=0),
        None,
        "With vad_filter: silence that ends speech.  [default: 2000]",
    ),
]
"""of Silero; `SILERO` has their names in faster-whisper where these differ"""

SILERO = {"vad_onset": "threshold"}

PLACE: list[tuple[str, Any, Any, str]] = [
    ("model_directory", str, None, "With faster: a folder of CTranslate2, in place of --model."),
    ("device_index", click.IntRange(min=0), 0, "With faster: which GPU."),
]

FASTER = [*PLACE, *DECODING, *VAD]


def faster_options(function: F) -> F:
    """Decorate a click command with all of `FASTER`."""
    return decorated(function, FASTER)


def for_faster(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of `FASTER` out; returns the fields of `whisper_steer.cli.backends.Runtime` that they are.

    Raises `click.UsageError` for those in use that need another option.
    """
    taken = {name: options.pop(name) for name, *_ in FASTER}
    folder = taken.pop("model_directory")
    if folder is not None:
        if options["model"] is not None:
            raise click.UsageError("--model and --model_directory both name a model: take one")
        options["model"] = folder
    silero = {
        SILERO.get(name, name.removeprefix("vad_")): taken[name]
        for name, *_ in VAD
        if taken[name] is not None
    }
    if silero and not options["vad_filter"]:
        used = next(name for name, *_ in VAD if taken[name] is not None)
        raise click.UsageError(f"--{used} needs --vad_filter True")
    decoding = {name: taken[name] for name, *_ in DECODING}
    return {"device_index": taken["device_index"], "decoding": decoding, "vad_parameters": silero}


def used(options: dict[str, Any]) -> list[str]:
    """Those of `FASTER` that were given another value than their default."""
    return [name for name, _, default, _ in FASTER if options[name] != default]


__all__ = ["DECODING", "FASTER", "PLACE", "VAD", "faster_options", "for_faster", "used"]
