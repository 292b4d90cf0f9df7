"""What an archive is made of: recordings, pieces of recordings, and tar shards that hold recordings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whisper_steer.data.layout import AUDIO_SUFFIXES

_MORE = ".3gp .ac3 .amr .ape .au .avi .caf .m4b .mka .mkv .mov .mp2 .mpeg .mpg .oga .sph .spx .ts .w64 .wv"
AUDIO = AUDIO_SUFFIXES.union(_MORE.split())
"""suffixes of files in which a folder or a tar is taken to hold sound"""


@dataclass(frozen=True)
class Source:
    """Something to transcribe: a recording, a piece of one, or a tar shard of recordings."""

    key: str
    """what INPUT calls it; no two sources of an INPUT share one"""
    mark: str
    """changes where the file or the manifest's line does"""
    path: str
    """of the file, absolute"""
    offset: float = 0.0
    """seconds into the file where the piece begins"""
    duration: float | None = None
    """seconds of the piece; None is all that follows"""
    seconds: float = 0.0
    """seconds of audio as its header or the manifest states, 0 where neither does; for planning only"""
    reference: str | None = None
    """the text that INPUT gives"""
    is_tar: bool = False
    fault: str | None = None
    """why it cannot be read, where INPUT itself shows that"""


def stamp(path: str | Path) -> str:
    """Size and time of change of a file, or that there is none."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return "absent"
    return f"{found.st_size}:{found.st_mtime_ns}"


def shown(path: str) -> str:
    """A path as text that every file format takes: bytes that are no UTF-8 are spelt out."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


__all__ = ["AUDIO", "Source", "shown", "stamp"]
