"""faster-whisper and transformers behind openai-whisper's options and result, for the command line.

A backend's ``transcribe`` takes the options of `whisper_steer.transcribe` under the same names and returns the same
dict. What a runtime does not have is refused by name, not ignored. openai-whisper itself needs none of this.
"""

from __future__ import annotations

from typing import Any

from whisper_steer.cli.backends.base import Backend, Runtime, refuse_missing


def load(backend: str, model: str, steering: dict[str, Any], runtime: Runtime) -> Backend:
    """A model in the runtime ``backend``, "faster" or "transformers", steered as the dict says.

    Raises `ArtifactError`, `FingerprintError`, `MissingPackageError`, `ModelError`, `UsageError`.
    """
    if backend == "faster":
        from whisper_steer.cli.backends.faster import Faster

        return Faster(model, steering, runtime)
    from whisper_steer.cli.backends.transformers import Transformers

    return Transformers(model, steering, runtime)


__all__ = ["Backend", "Runtime", "load", "refuse_missing"]
