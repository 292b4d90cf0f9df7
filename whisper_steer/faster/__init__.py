"""faster-whisper that writes nothing where nobody speaks: the public names of ``faster_whisper``, meaning the same.

``from whisper_steer.faster import WhisperModel`` replaces ``from faster_whisper import WhisperModel``; its modules are
here as well. How it works: `whisper_steer.runtimes.faster`.
"""

from faster_whisper import __version__, available_models, decode_audio, download_model, format_timestamp

from whisper_steer.runtimes.faster import WhisperModel
from whisper_steer.runtimes.faster_batched import BatchedInferencePipeline
from whisper_steer.runtimes.faster_results import Segment, TranscriptionInfo

__all__ = [
    "BatchedInferencePipeline",
    "Segment",
    "TranscriptionInfo",
    "WhisperModel",
    "__version__",
    "available_models",
    "decode_audio",
    "download_model",
    "format_timestamp",
]
