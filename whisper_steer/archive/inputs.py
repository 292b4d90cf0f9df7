"""INPUT of an archive: a folder of recordings, a JSONL manifest of NeMo, or the tar shards of a WebDataset."""

from __future__ import annotations

import glob
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

from whisper_steer.archive.sources import AUDIO, Source, shown, stamp
from whisper_steer.errors import DataError, MissingPackageError

MANIFESTS = (".jsonl", ".json", ".ndjson")
TARS = (".tar", ".tar.gz", ".tgz")


def find_sources(given: str) -> list[Source]:
    """All that INPUT holds, in its order: a folder's and a pattern's by name, a manifest's by line.

    given: a folder, which is searched with all its folders for files with a suffix of `AUDIO`; a manifest, one JSON
    object a line with ``audio_filepath`` (relative to the manifest's folder) and, where it has them, ``offset`` and
    ``duration`` in seconds and ``text``; a tar, or a pattern of tars with ``*``, ``?``, ``[...]`` or braces
    (``train-{000..127}.tar``). A line of a manifest that cannot be read becomes a source with a `fault`.

    Raises `DataError` where there is no such thing, or nothing in it; `MissingPackageError`.
    """
    path = Path(given)
    if path.is_dir():
        found = list(_in_folder(path.absolute()))
    elif path.is_file() and path.name.lower().endswith(MANIFESTS):
        found = list(_in_manifest(path.absolute()))
    elif given.lower().endswith(TARS):
        found = list(_tars(given))
    else:
        what = "is no folder, .jsonl manifest or .tar" if path.exists() else "does not exist"
        raise DataError(
            f"{given} {what}: name a folder of recordings, a manifest, or tars such as 'train-{{000..127}}.tar'"
        )
    if not found:
        raise DataError(f"{given} holds no recordings: check the path")
    return found


def _in_folder(folder: Path) -> Iterator[Source]:
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names):
            path = Path(above, name)
            if path.suffix.lower() in AUDIO and not name.startswith("."):
                key, seconds = shown(str(path.relative_to(folder))), _stated_seconds(str(path))
                yield Source(key, stamp(path), str(path), seconds=seconds)


def _stated_seconds(path: str) -> float:
    """Seconds as the header of a file states them; 0 where it cannot be read."""
    try:
        return float(soundfile.info(path).duration)
    except (soundfile.SoundFileError, OSError, TypeError, ValueError):
        pass
    import av

    try:
        with av.open(path, metadata_errors="ignore") as container:
            return (container.duration or 0) / av.time_base
    except (av.error.FFmpegError, OSError, ValueError):
        return 0.0


def _in_manifest(manifest: Path) -> Iterator[Source]:
    try:
        lines = manifest.read_text(encoding="utf-8", errors="backslashreplace").split("\n")
    except OSError as error:
        raise DataError(f"cannot read the manifest {manifest}: {error.strerror}") from error
    seen: Counter[str] = Counter()
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        source = _of_line(line, number, manifest)
        seen[source.key] += 1
        if seen[source.key] > 1:
            source = Source(**{**vars(source), "key": f"{source.key}#{seen[source.key]}"})
        yield source


def _of_line(line: str, number: int, manifest: Path) -> Source:
    digest = hashlib.sha256(line.encode()).hexdigest()[:16]
    try:
        row = json.loads(line)
        given = row["audio_filepath"]
        if not isinstance(given, str) or not given or "\0" in given:
            raise ValueError(f"audio_filepath is {given!r}")
        offset, duration = _seconds(row, "offset") or 0.0, _seconds(row, "duration")
        reference = row.get("text")
        path = str(manifest.parent / given)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = {KeyError: "audio_filepath is missing", RecursionError: "it is nested too deeply"}.get(
            type(error), str(error).splitlines()[0] if str(error) else type(error).__name__
        )
        where = shown(str(manifest))
        return Source(f"line {digest}", digest, where, fault=f"line {number} of the manifest: {why}")
    key = shown(given) + (
        f" {offset:g}+{'' if duration is None else format(duration, 'g')}"
        * bool(offset or duration is not None)
    )
    return Source(
        key,
        f"{digest} {stamp(path)}",
        path,
        offset,
        duration,
        duration if duration is not None else _stated_seconds(path),
        reference if isinstance(reference, str) else None,
    )


def _seconds(row: dict[str, Any], field: str) -> float | None:
    value = row.get(field)
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value < 0
    ):
        raise ValueError(f"{field} is {value!r}, not seconds")
    return float(value)


def _tars(pattern: str) -> Iterator[Source]:
    try:
        from braceexpand import braceexpand
    except ImportError:
        raise MissingPackageError("tars need webdataset: pip install 'whisper-steer[archive]'") from None
    try:
        expanded = list(braceexpand(pattern))
    except ValueError:
        raise DataError(
            f"the braces of {pattern} do not match: write them as in train-{{000..127}}.tar"
        ) from None
    found = [
        path
        for each in expanded
        for path in (sorted(glob.glob(each)) if glob.has_magic(each) else [each])  # noqa: PTH207
    ]
    for path in dict.fromkeys(found):
        yield Source(shown(path), stamp(path), str(Path(path).absolute()), is_tar=True)


__all__ = ["find_sources"]
