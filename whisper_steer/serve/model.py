"""The model that answers, and how many transcriptions by it run side by side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Report = Callable[[dict[str, Any]], None]
"""gets a segment as soon as it is decoded"""


@dataclass(frozen=True)
class Served:
    """A loaded model."""

    name: str
    """by which clients ask for it"""
    is_multilingual: bool
    run: Callable[..., dict[str, Any]]
    """samples (n,) float32 at 16 kHz and options of `whisper_steer.transcribe` -> its result"""
    at_once: int = 1
    """transcriptions that may run side by side"""
    reports: bool = False
    """whether ``run`` takes ``on_segment``, a `Report`"""

    def __call__(
        self, samples: np.ndarray, options: dict[str, Any], on_segment: Report | None = None
    ) -> dict[str, Any]:
        """The result for a recording. Where the runtime cannot report segments, they come at the end."""
        if self.reports:
            return self.run(samples, on_segment=on_segment, **options)
        result = self.run(samples, **options)
        if on_segment is not None:
            for segment in result["segments"]:
                on_segment(segment)
        return result


__all__ = ["Report", "Served"]
