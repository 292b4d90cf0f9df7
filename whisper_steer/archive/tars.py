"""The recordings in a tar shard of a WebDataset, one after another, as its files lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from whisper_steer.archive.sources import AUDIO
from whisper_steer.errors import DataError, MissingPackageError

END = 512
"""bytes of zeros with which a tar ends, at least"""


@dataclass(frozen=True)
class Member:
    """A recording of a tar."""

    name: str
    content: bytes
    """of the file, in whatever format"""
    reference: str | None
    """the text beside it: ``text`` of its .json, or its .txt"""


def members(path: str) -> Iterator[Member]:
    """The recordings of a tar, compressed or not; files of a sample that are no sound are passed over.

    What can be read comes first; then raises `DataError` where the tar is cut off, damaged or absent, and
    `MissingPackageError` without webdataset.
    """
    try:
        from webdataset.tariterators import group_by_keys, tar_file_expander
    except ImportError:
        raise MissingPackageError("tars need webdataset: pip install 'whisper-steer[archive]'") from None
    faults: list[str] = []

    def keep(error: Exception) -> bool:
        faults.append(str(error.args[0]).split(" @ ")[0] if error.args else type(error).__name__)
        return False

    count = 0
    try:
        with open(path, "rb") as stream:  # noqa: PTH123 - a path may hold bytes that are no text
            files = tar_file_expander([{"url": path, "stream": stream}], handler=keep)
            for sample in group_by_keys(files, handler=keep):
                for member in _sounds(sample):
                    count += 1
                    yield member
            if not faults and path.endswith(".tar") and not _is_closed(stream):
                faults.append("it has no end mark")
    except OSError as error:
        raise DataError(f"the tar cannot be read: {error.strerror or error}") from error
    if faults:
        raise DataError(
            f"the tar is cut off or damaged behind {count} recordings ({faults[0]}): copy it again"
        )
    if not count:
        raise DataError("the tar holds no recordings")


def _sounds(sample: dict[str, Any]) -> Iterator[Member]:
    for suffix, content in sample.items():
        if "." + suffix.rpartition(".")[2] in AUDIO and isinstance(content, bytes):
            yield Member(f"{sample['__key__']}.{suffix}", content, _reference(sample))


def _reference(sample: dict[str, Any]) -> str | None:
    if "json" in sample:
        try:
            given = json.loads(sample["json"])
        except (ValueError, RecursionError):
            given = None
        if isinstance(given, dict) and isinstance(given.get("text"), str):
            return str(given["text"])
    return sample["txt"].decode("utf-8", "backslashreplace").strip() if "txt" in sample else None


def _is_closed(stream: Any) -> bool:
    size = stream.seek(0, 2)
    stream.seek(max(0, size - END))
    return not any(stream.read(END))


__all__ = ["Member", "members"]
