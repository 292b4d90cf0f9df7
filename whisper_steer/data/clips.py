"""A `Clip`: one piece of audio, with all that is known about it. Its samples are read when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from whisper_steer.audio.load import load_audio

Audio = npt.NDArray[np.float32]
"""(n,) at 16 kHz"""
Kind = Literal["speech", "nonspeech", "recording"]
"""a recording holds speech and pauses: see `whisper_steer.data.recordings`"""
Split = Literal["fit", "choose", "test"]


@dataclass(frozen=True)
class Clip:
    """One piece of audio, 16 kHz mono once read."""

    kind: Kind
    split: Split
    group: str
    """speaker or source recording, behind the name of the data set: no group lies in two splits"""
    source: Path | Audio | Callable[[], Audio] = field(repr=False, compare=False)
    """a file, samples, or what makes them"""
    dataset: str = ""
    _: KW_ONLY
    id: str = ""
    """data set, path inside it, condition: unique in a run and the same in every run"""
    seconds: float = 0.0
    text: str | None = None
    """reference; None for non-speech and where there is no reliable transcript"""
    normalizer: str = "english"
    language: str | None = None
    """code, of speech where it is known"""
    label: str | None = None
    voice: bool = False
    """non-speech of a class that holds human voice: nothing is fitted on it, and figures keep it apart"""
    condition: str = "clean"
    extra: dict[str, Any] = field(default_factory=dict, compare=False)
    """of a recording, the fields of `whisper_steer.data.recordings.Script`"""

    @property
    def path(self) -> Path | None:
        """The file, where the clip is one file unchanged."""
        return self.source if isinstance(self.source, Path) else None

    def samples(self) -> Audio:
        """(n,) float32 at 16 kHz. Raises `AudioError` where a file cannot be read."""
        if isinstance(self.source, Path):
            return load_audio(self.source)
        return self.source if isinstance(self.source, np.ndarray) else self.source()

    def identity(self) -> list[str | int | None]:
        """What tells it and its content from any other: for a file its path, size and time of change."""
        named: list[str | int | None] = [self.kind, self.split, self.group, self.dataset, self.id]
        if isinstance(self.source, np.ndarray):
            content = np.ascontiguousarray(self.source).reshape(-1)
            return [*named, str(content.dtype), hashlib.sha256(content.view(np.uint8).data).hexdigest()]
        if not isinstance(self.source, Path):
            return named
        path = self.source.absolute()
        found = path.stat() if path.is_file() else None
        size, changed = (found.st_size, found.st_mtime_ns) if found else (None, None)
        return [*named, str(path), size, changed]

    def describe(self) -> dict[str, Any]:
        """What is kept of it beside results."""
        keys = (
            "id", "kind", "dataset", "split", "group", "seconds", "text", "normalizer", "language",
            "label", "voice", "condition",
        )  # fmt: skip
        return {key: getattr(self, key) for key in keys} | {"extra": self.extra}

    def derived(self, condition: str, make: Callable[[], Audio], **changes: Any) -> Clip:
        """The same clip under another condition."""
        return replace(self, id=f"{self.id}@{condition}", condition=condition, source=make, **changes)


__all__ = ["Audio", "Clip", "Kind", "Split"]
