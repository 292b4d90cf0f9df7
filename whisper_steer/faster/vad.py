"""``faster_whisper.vad`` under this package's name: Silero, which ``vad_filter=True`` asks."""

from faster_whisper.vad import (
    SileroVADModel,
    SpeechTimestampsMap,
    VadOptions,
    collect_chunks,
    get_speech_timestamps,
    get_vad_model,
)

__all__ = [
    "SileroVADModel",
    "SpeechTimestampsMap",
    "VadOptions",
    "collect_chunks",
    "get_speech_timestamps",
    "get_vad_model",
]
