"""The one exception tree of the package; every message is one line that names the remedy.

WhisperSteerError          exit code 1
├── UsageError             exit code 2: options that contradict each other, unknown names
├── AudioError             a recording that cannot be read
├── ModelError             a checkpoint that cannot be loaded or has the wrong shape
├── ArtifactError          a steering artifact that is damaged, incomplete or of another schema
│   └── FingerprintError   a sound artifact, but fitted on another model
├── DataError              a data set or manifest that is not laid out as expected
├── FitError               data too poor, or too little, to fit what was asked
└── MissingPackageError    an optional package that is not installed

What is odd but can be used is an `AudioWarning`; the command line prints it as one line.
"""

from __future__ import annotations

EXTRAS = {
    "ctranslate2": "faster",
    "faster_whisper": "faster",
    "tokenizers": "faster",
    "fastapi": "serve",
    "huggingface_hub": "hub",
    "jiwer": "bench",
    "PIL": "bench",
    "pooch": "fit",
    "requests": "fit",
    "pyarrow": "archive",
    "silero_vad": "fit",
    "transformers": "transformers",
    "webdataset": "archive",
}
"""package that some commands import -> the extra that brings it"""


class WhisperSteerError(Exception):
    """Base of all errors that the package raises on purpose."""

    exit_code = 1


class UsageError(WhisperSteerError):
    exit_code = 2


class AudioError(WhisperSteerError):
    pass


class ModelError(WhisperSteerError):
    pass


class ArtifactError(WhisperSteerError):
    pass


class FingerprintError(ArtifactError):
    pass


class DataError(WhisperSteerError):
    pass


class FitError(WhisperSteerError):
    pass


class MissingPackageError(WhisperSteerError):
    pass


class AudioWarning(UserWarning):
    """A recording of which only a part could be read."""
