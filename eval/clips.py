"""A `Clip`: one piece of audio to transcribe, with everything known about it. Audio is read when it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]

KINDS = ("speech", "nonspeech", "long")


@dataclass(frozen=True)
class Clip:
    """One recording, 16 kHz mono once read."""

    id: str
    """unique in a run and stable between runs: data set, path inside it, condition"""
    kind: str
    """"speech", "nonspeech" or "long" (speech with inserted stretches without it)"""
    dataset: str
    split: str
    """"fit", "choose" or "test" """
    group: str
    """speaker or source recording: what intervals resample"""
    seconds: float
    read: Callable[[], Audio] = field(repr=False, compare=False)
    text: str | None = None
    """reference; None for non-speech and where there is no reliable transcript"""
    normalizer: str = "english"
    language: str | None = None
    """code, of speech where it is known"""
    label: str | None = None
    voice: bool = False
    """non-speech that may hold a human voice: kept apart from the headline"""
    condition: str = "clean"
    path: Path | None = None
    """the file, where the clip is one file unchanged"""
    extra: dict[str, Any] = field(default_factory=dict, compare=False)
    """for long recordings: ``stretches`` [(start, end, kind)], ``speech`` [(start, end, words)]"""

    def describe(self) -> dict[str, Any]:
        """What results.json keeps of it."""
        keys = (
            "id", "kind", "dataset", "split", "group", "seconds", "text", "normalizer", "language",
            "label", "voice", "condition",
        )  # fmt: skip
        return {key: getattr(self, key) for key in keys} | {"extra": self.extra}

    def derived(self, condition: str, read: Callable[[], Audio], **changes: Any) -> Clip:
        """The same clip under another condition."""
        return replace(
            self, id=f"{self.id}@{condition}", condition=condition, read=read, path=None, **changes
        )


def from_file(path: Path, **fields: Any) -> Clip:
    """A clip that is one whole file."""
    from whisper_steer.audio import load_audio

    return Clip(read=lambda: load_audio(path), path=path, **fields)


def order_key(clip: Clip, seed: int) -> str:
    """A fixed pseudo-random order: the same for every run with that seed, whatever else is in the run."""
    return hashlib.sha256(f"{seed}:{clip.id}".encode()).hexdigest()


def stratified(clips: list[Clip], limit: int | None, seed: int) -> list[Clip]:
    """At most ``limit`` clips of each (data set, voice), spread evenly over groups; ``limit`` None takes all."""
    if limit is None:
        return clips
    strata: dict[tuple[str, bool], dict[str, list[Clip]]] = {}
    for clip in sorted(clips, key=lambda clip: order_key(clip, seed)):
        strata.setdefault((clip.dataset, clip.voice), {}).setdefault(clip.group, []).append(clip)
    chosen: set[str] = set()
    for groups in strata.values():
        turns = [(rank, clip) for members in groups.values() for rank, clip in enumerate(members)]
        turns.sort(key=lambda turn: (turn[0], order_key(turn[1], seed)))
        chosen |= {clip.id for _, clip in turns[:limit]}
    return [clip for clip in clips if clip.id in chosen]
