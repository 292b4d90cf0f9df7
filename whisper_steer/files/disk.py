"""Files that are whole or not there, and room on disk that is promised before it is used.

A sparse file behind a memory map that finds its disk full ends the process with SIGBUS; a reservation is refused
while an error can still be told.
"""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_BLOCK = 1 << 20


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file that is either the old one or the whole new one, whatever happens. Raises `OSError`."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def is_file(path: Path) -> bool:
    """Whether there is such a file; also for what can be no path, such as a name too long or one with a NUL in it."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def allocate(file: BinaryIO, size: int) -> None:
    """Make an open, writable file ``size`` bytes long, all of them allocated; what it already holds stays.

    Raises `OSError` with ENOSPC where the disk has no room for them, with the place and the remedy in its text; the
    file then has the size it had.
    """
    file.flush()
    held = os.fstat(file.fileno()).st_size
    if size <= held:
        return
    try:
        if not _reserved(file.fileno(), size):
            _written(file, held, size)
    except OSError as error:
        os.ftruncate(file.fileno(), held)
        temporary = tempfile.gettempdir()
        name = file.name if isinstance(file.name, str) else temporary
        where = " in TMPDIR" if name.startswith(temporary) else ""
        text = (
            f"{os.strerror(error.errno or errno.EIO)}, {size / 1e6:,.0f} MB are needed: "
            f"free some, or name a folder on another disk{where}"
        )
        raise OSError(error.errno, text, name) from error


def _reserved(descriptor: int, size: int) -> bool:
    """Whether the operating system and the file's disk can reserve; where they can, it is done."""
    if not hasattr(os, "posix_fallocate"):
        return False
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return False
        raise
    return True


def _written(file: BinaryIO, held: int, size: int) -> None:
    """Zeros to the end, for where nothing can be reserved."""
    position = file.tell()
    file.seek(held)
    for start in range(held, size, _BLOCK):
        file.write(bytes(min(_BLOCK, size - start)))
    file.flush()
    file.seek(position)


__all__ = ["allocate", "is_file", "write_whole"]
