"""The folder in which a fit keeps its activations, which are gigabytes: the user's, or a temporary one."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from whisper_steer.files.lock import LOCK, alone_in, is_abandoned
from whisper_steer.files.scratch import scratch_folder

PREFIX = "whisper-steer-fit-"
YOUNG = 60.0
"""seconds; a temporary folder younger than that may be about to be locked by the fit that made it"""


@contextmanager
def workplace(kept: Path | None = None) -> Iterator[Path]:
    """``kept``, for this fit alone; or a temporary folder that goes with it.

    What a killed fit left in the temporary directory is removed first. Raises `UsageError` where another fit runs
    in ``kept``.
    """
    if kept is not None:
        with alone_in(kept, "fit"):
            yield kept
        return
    remove_abandoned()
    with scratch_folder(PREFIX) as made, alone_in(made, "fit"):
        yield made


def remove_abandoned() -> None:
    """Remove the temporary folders of fits that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            old = time.time() - (folder / LOCK).stat().st_mtime > YOUNG
        except OSError:
            continue
        if old and not folder.is_symlink() and is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
