"""``faster_whisper.transcribe`` under this package's name: model, pipeline and results are steered ones."""

from faster_whisper.transcribe import (
    TranscriptionOptions,
    Word,
    get_compression_ratio,
    get_ctranslate2_storage,
    get_suppressed_tokens,
    merge_punctuations,
    restore_speech_timestamps,
)

from whisper_steer.runtimes.faster import WhisperModel
from whisper_steer.runtimes.faster_batched import BatchedInferencePipeline
from whisper_steer.runtimes.faster_results import Segment, TranscriptionInfo

__all__ = [
    "BatchedInferencePipeline",
    "Segment",
    "TranscriptionInfo",
    "TranscriptionOptions",
    "WhisperModel",
    "Word",
    "get_compression_ratio",
    "get_ctranslate2_storage",
    "get_suppressed_tokens",
    "merge_punctuations",
    "restore_speech_timestamps",
]
