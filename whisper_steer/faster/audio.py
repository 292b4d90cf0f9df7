"""``faster_whisper.audio`` under this package's name: reading audio as faster-whisper does, with PyAV."""

from faster_whisper.audio import (
    decode_audio,
    pad_or_trim,
)

__all__ = [
    "decode_audio",
    "pad_or_trim",
]
