"""What the loaders share: their registry, checks of a layout, durations."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import soundfile

from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError

LOADERS: dict[str, Callable[[Path], list[Clip]]] = {}

Loader = Callable[[Path], list[Clip]]

AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".webm", ".mp4", ".aif", ".aiff", ".wma"}
)


def loader(name: str) -> Callable[[Loader], Loader]:
    """Decorator: make a loader known under its name."""

    def add(function: Loader) -> Loader:
        LOADERS[name] = function
        return function

    return add


def require(root: Path, what: str, *parts: str) -> None:
    """Raise `DataError` that says what is missing unless every part exists under ``root``."""
    missing = [part for part in parts if not (root / part).exists()]
    if missing:
        raise DataError(f"{root} is not laid out as {what}: it has no {', '.join(missing)}")


def read_csv(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """Rows of a CSV file with a header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def duration(path: Path) -> float:
    """Seconds, from the header where there is one; 0 where the file cannot be read (the run then reports it)."""
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.SoundFileError, OSError):
        return 0.0


def audio_files(folder: Path) -> list[Path]:
    """Audio files under a folder, by suffix, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
