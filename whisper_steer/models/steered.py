"""openai-whisper's model with steering in its own method, for code that calls ``model.transcribe(audio)``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from whisper.model import Whisper


class SteeredWhisper(Whisper):  # type: ignore[misc]
    """`whisper.model.Whisper`; copies and pickles are of this class too."""

    def transcribe(self, audio: str | Path | np.ndarray | Tensor, **options: Any) -> dict[str, Any]:
        """`whisper_steer.transcribe` by this model, with all its options; ``steering=None`` is stock."""
        from whisper_steer.runtimes.openai import transcribe

        return transcribe(self, audio, **options)


def steered(model: Whisper) -> SteeredWhisper:
    """A model that was just loaded, as a `SteeredWhisper`: the same object with the same weights."""
    model.__class__ = SteeredWhisper
    assert isinstance(model, SteeredWhisper)
    return model


__all__ = ["SteeredWhisper", "steered"]
