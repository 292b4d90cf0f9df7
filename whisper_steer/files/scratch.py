"""Temporary folders that go with their block, and with the process where a signal ends it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_in_use: set[Path] = set()


@contextmanager
def scratch_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A new folder in ``parent``, or in the temporary directory, removed at the end of the block."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent) as made:
        folder = Path(made)
        _in_use.add(folder)
        try:
            yield folder
        finally:
            keep_from_removal(folder)


def keep_from_removal(folder: Path) -> None:
    """From here on a signal leaves the folder as it is: it holds what must not be lost."""
    _in_use.discard(folder)


def remove_all() -> None:
    """Remove the folders in use; for a process that is about to end."""
    for folder in tuple(_in_use):
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["keep_from_removal", "remove_all", "scratch_folder"]
