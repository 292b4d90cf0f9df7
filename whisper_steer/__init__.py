"""whisper-steer: Whisper that writes nothing where nobody speaks.

``import whisper_steer as whisper`` replaces openai-whisper: every public name of it is here with the same meaning,
and `transcribe` steers. Names are imported when first used, so that the command line starts fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whisper import (
        DecodingOptions,
        DecodingResult,
        ModelDimensions,
        Whisper,
        decode,
        detect_language,
        pad_or_trim,
    )

    from whisper_steer.audio import log_mel_spectrogram
    from whisper_steer.audio.load import load_audio
    from whisper_steer.gate.hearing import Hearing
    from whisper_steer.gate.spans import Span
    from whisper_steer.live.listener import Listener
    from whisper_steer.models.checkpoints import available_models
    from whisper_steer.models.load import load_model
    from whisper_steer.runtimes.openai import listen, transcribe
    from whisper_steer.runtimes.transformers import wrap
    from whisper_steer.steer.artifact import Artifact
    from whisper_steer.steer.steering import Steering

__version__ = "0.1.0"

_HOME = {
    "Artifact": "whisper_steer.steer.artifact",
    "Hearing": "whisper_steer.gate.hearing",
    "Listener": "whisper_steer.live.listener",
    "Span": "whisper_steer.gate.spans",
    "Steering": "whisper_steer.steer.steering",
    "available_models": "whisper_steer.models.checkpoints",
    "listen": "whisper_steer.runtimes.openai",
    "load_audio": "whisper_steer.audio.load",
    "load_model": "whisper_steer.models.load",
    "log_mel_spectrogram": "whisper_steer.audio",
    "transcribe": "whisper_steer.runtimes.openai",
    "wrap": "whisper_steer.runtimes.transformers",
    **dict.fromkeys(
        [
            "DecodingOptions",
            "DecodingResult",
            "ModelDimensions",
            "Whisper",
            "decode",
            "detect_language",
            "pad_or_trim",
        ],
        "whisper",
    ),
}

_MODULES = ("audio", "decoding", "model", "normalizers", "timing", "tokenizer", "utils")
"""those that openai-whisper's programs reach as ``whisper.audio`` and so on"""

__all__ = [
    "Artifact",
    "DecodingOptions",
    "DecodingResult",
    "Hearing",
    "Listener",
    "ModelDimensions",
    "Span",
    "Steering",
    "Whisper",
    "available_models",
    "decode",
    "detect_language",
    "listen",
    "load_audio",
    "load_model",
    "log_mel_spectrogram",
    "pad_or_trim",
    "transcribe",
    "wrap",
]


if not TYPE_CHECKING:  # a type checker sees the imports above, and tells a misspelt name

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"whisper_steer.{name}")
        if name not in _HOME:
            raise AttributeError(f"module 'whisper_steer' has no attribute {name!r}")
        return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES, "__version__"])
