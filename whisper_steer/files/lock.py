"""One process at a time in a folder: a second one would write into the files of the first.

The operating system drops the lock of a process that ends, however it ends, so none is ever left behind.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from whisper_steer.errors import UsageError

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"


@contextmanager
def alone_in(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder, which is made where it is missing. Raises `UsageError` where another ``what`` holds it.

    Where the operating system or the disk has no locks, nothing is held.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a") as file:
        if _lock(file) is False:
            raise UsageError(
                f"another {what} is running in {folder}: wait until it ends, or name another folder"
            )
        yield


def is_abandoned(folder: Path) -> bool:
    """Whether a process held the folder once, and none does now."""
    try:
        with (folder / LOCK).open("r+") as file:
            return _lock(file) is True
    except OSError:
        return False


def _lock(file: IO[Any]) -> bool | None:
    """Lock an open file until it is closed. False: another one has; None: there are no locks here."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


__all__ = ["LOCK", "alone_in", "is_abandoned"]
