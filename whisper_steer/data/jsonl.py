"""A JSONL manifest of clips: one object a line, with paths relative to the manifest's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

from whisper_steer.errors import DataError

Item = TypeVar("Item")


def read_manifest(path: Path, build: Callable[[dict[str, Any]], Item]) -> Iterator[Item]:
    """``build`` of every line. Raises `DataError` that names the line where one is no object, lacks a field or has a
    value that `one_of` refuses."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the manifest {path}: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield build(json.loads(line))
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}; see the manifest's fields") from error
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(
                f"{path}, line {number}: {type(error).__name__} {error}; see the manifest's fields"
            ) from error


def one_of(row: dict[str, Any], field: str, known: Collection[str]) -> Any:
    """A field's value. Raises `ValueError` where it is none of the known, `KeyError` where there is none."""
    value = row[field]
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{field} {value!r} is none of {', '.join(known)}")
    return value


__all__ = ["one_of", "read_manifest"]
