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
        log_mel_spectrogram,
        pad_or_trim,
    )

    from whisper_steer.artifact import Artifact
    from whisper_steer.audio import load_audio
    from whisper_steer.checkpoints import available_models
    from whisper_steer.huggingface import attach
    from whisper_steer.models import load_model
    from whisper_steer.steering import Decision, Steering
    from whisper_steer.transcription import transcribe

__version__ = "0.1.0"

_HOME = {
    "Artifact": "whisper_steer.artifact",
    "Decision": "whisper_steer.steering",
    "Steering": "whisper_steer.steering",
    "attach": "whisper_steer.huggingface",
    "available_models": "whisper_steer.checkpoints",
    "load_audio": "whisper_steer.audio",
    "load_model": "whisper_steer.models",
    "transcribe": "whisper_steer.transcription",
    **dict.fromkeys(
        [
            "DecodingOptions",
            "DecodingResult",
            "ModelDimensions",
            "Whisper",
            "decode",
            "detect_language",
            "log_mel_spectrogram",
            "pad_or_trim",
        ],
        "whisper",
    ),
}

__all__ = [
    "Artifact",
    "Decision",
    "DecodingOptions",
    "DecodingResult",
    "ModelDimensions",
    "Steering",
    "Whisper",
    "attach",
    "available_models",
    "decode",
    "detect_language",
    "load_audio",
    "load_model",
    "log_mel_spectrogram",
    "pad_or_trim",
    "transcribe",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'whisper_steer' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
