"""Clips of speech and non-speech with their splits: from a manifest, from two folders, or from the built-in pack."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from whisper_steer.audio import load_audio
from whisper_steer.errors import DataError
from whisper_steer.manifest import one_of, read_manifest

Kind = Literal["speech", "nonspeech"]
Split = Literal["fit", "choose", "test"]

PACK = "calibration-pack"
"""data set of the clips that come with the package"""
AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".webm", ".aac", ".wma", ".aiff"}


@dataclass(frozen=True)
class Clip:
    """A recording. ``group`` is its speaker or source recording: no group lies in two splits."""

    kind: Kind
    split: Split
    group: str
    source: Path | np.ndarray
    dataset: str = ""
    text: str | None = None
    label: str | None = None
    language: str | None = None
    """code, of speech where it is known"""
    voice: bool = False
    """non-speech of a class that holds human voice; left out of fitting"""

    def identity(self) -> list[str | int | None]:
        """What tells it and its content from any other: for a file its path, size and time of change."""
        named: list[str | int | None] = [self.kind, self.split, self.group, self.dataset]
        if isinstance(self.source, np.ndarray):
            content = np.ascontiguousarray(self.source).reshape(-1)
            return [*named, str(content.dtype), hashlib.sha256(content.view(np.uint8).data).hexdigest()]
        path = self.source.absolute()
        found = path.stat() if path.is_file() else None
        size, changed = (found.st_size, found.st_mtime_ns) if found else (None, None)
        return [*named, str(path), size, changed]

    def samples(self) -> np.ndarray:
        """float32 mono at 16 kHz."""
        return self.source if isinstance(self.source, np.ndarray) else load_audio(self.source)


def from_manifest(path: Path) -> list[Clip]:
    """Clips of a JSONL manifest; paths in it are relative to its folder. Raises `DataError`."""

    def build(row: dict[str, Any]) -> Clip:
        group = row.get("group") or "?"
        return Clip(
            kind=one_of(row, "kind", get_args(Kind)),
            split=(
                one_of(row, "split", get_args(Split))
                if row.get("split")
                else split_of(group if group != "?" else row["path"])
            ),
            group=f"{row.get('dataset', '')}/{group if group != '?' else row['path']}",
            source=path.parent / row["path"],
            dataset=row.get("dataset", ""),
            text=row.get("text"),
            label=row.get("label"),
            language=row.get("language", "en") if row["kind"] == "speech" else None,
            voice=bool(row.get("voice")),
        )

    return one_side(list(read_manifest(path, build)))


def one_side(clips: list[Clip]) -> list[Clip]:
    """Without the clips whose source recording, told by its Freesound number, lies in a later split as well.

    UrbanSound8K and ESC-50 were both cut from Freesound, some from the same recordings. `test` keeps its clips.
    """
    splits: dict[str, set[str]] = {}
    for clip in clips:
        if number := _freesound(clip):
            splits.setdefault(number, set()).add(clip.split)
    order: tuple[Split, ...] = ("fit", "choose", "test")
    last = {number: max(found, key=order.index) for number, found in splits.items()}
    return [clip for clip in clips if last.get(_freesound(clip) or "", clip.split) == clip.split]


def _freesound(clip: Clip) -> str | None:
    number = clip.group.rpartition("/")[2]
    return number if clip.kind == "nonspeech" and number.isdigit() else None


def halves(clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Clips divided by speaker or source recording, every data set by itself, in an order fixed by their names.

    A data set of one speaker goes to the second half whole.
    """
    groups: dict[str, list[str]] = {}
    for dataset, group in sorted({(c.dataset, c.group) for c in clips}, key=lambda pair: _hash(pair[1])):
        groups.setdefault(dataset, []).append(group)
    first = {(dataset, group) for dataset, found in groups.items() for group in found[1::2]}
    return [c for c in clips if (c.dataset, c.group) in first], [
        c for c in clips if (c.dataset, c.group) not in first
    ]


def from_folder(folder: Path, kind: Kind) -> list[Clip]:
    """Every audio file below a folder. Its group is its own sub-folder, or itself where it lies at the top."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; pass a folder of {kind} recordings")
    clips = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES):
        relative = path.relative_to(folder)
        group = relative.parts[0] if len(relative.parts) > 1 else relative.stem
        clips.append(Clip(kind, split_of(group), group, path, dataset=folder.name))
    if not clips:
        raise DataError(f"{folder} holds no audio ({', '.join(sorted(AUDIO_SUFFIXES))})")
    return clips


def from_pack() -> list[Clip]:
    """The calibration pack that comes with the package."""
    from whisper_steer.calibration import load_pack

    return [Clip(c.kind, c.split, c.group, c.samples, PACK, c.text, c.label) for c in load_pack()]


def split_of(group: str) -> Split:
    """A fixed split by hash of the group: three quarters fit, one quarter choose."""
    return "choose" if _hash(group)[0] < 64 else "fit"


def _hash(group: str) -> bytes:
    return hashlib.sha256(group.encode()).digest()


def select(clips: list[Clip], kind: Kind, split: Split) -> list[Clip]:
    """Clips of one kind and split, without the classes that hold human voice."""
    return [c for c in clips if c.kind == kind and c.split == split and not c.voice]
