"""A folder that is written whole or not at all, and takes the place of nothing but a former one of the same kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.files.card import CARD, read_card
from whisper_steer.files.scratch import keep_from_removal, scratch_folder

Written = Callable[[dict[str, Any]], Collection[str]]
"""The card in a folder -> the files that we write beside such a card; none where it is no card of ours."""


def check_target(path: str | Path, what: str, written: Written) -> None:
    """Raise `UsageError` unless ``path`` can become a folder of ours without loss.

    It may be free, an empty folder, or a folder that holds a card and nothing but the files ``written`` beside it.
    """
    path = Path(path)
    reason = _unfit(path, what, written)
    if reason is not None:
        raise UsageError(f"{path}: {reason}; name a new folder, or move that away first")


@contextmanager
def replacing(path: str | Path, what: str, written: Written) -> Iterator[Path]:
    """An empty folder to fill; where the block ends without an error, it becomes ``path``, else ``path`` stays.

    Raises `UsageError` as `check_target`, at the start and again at the end.
    """
    path = Path(path).absolute()
    check_target(path, what, written)
    path.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(f".{path.name}-", path.parent) as scratch:
        made, previous = scratch / "new", scratch / "previous"
        made.mkdir()
        yield made
        check_target(path, what, written)
        keep_from_removal(scratch)
        try:
            if path.exists():
                os.replace(path, previous)
            os.replace(made, path)
        except BaseException:
            if previous.exists() and not path.exists():
                os.replace(previous, path)
            raise


def _unfit(path: Path, what: str, written: Written) -> str | None:
    """Why ``path`` must be left alone; None where it need not."""
    if path.is_symlink():
        return "it is a link"
    if not path.exists():
        above = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
        if not above.is_dir():
            return f"{above} is no folder"
        return None if os.access(above, os.W_OK | os.X_OK) else f"{above} cannot be written to"
    if not path.is_dir():
        return "it is a file"
    if os.path.ismount(path) or path.samefile(Path.cwd()):
        return "it cannot be moved while it is in use"
    if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
        return f"{path.absolute().parent} cannot be written to"
    found = sorted(path.iterdir())
    if not found:
        return None
    try:
        ours = {CARD, *written(read_card(path))}
    except ArtifactError:
        ours = {CARD}
    foreign = [
        each.name for each in found if each.name not in ours or each.is_symlink() or not each.is_file()
    ]
    if foreign:
        return f"it holds {foreign[0]!r}, which no {what} of whisper-steer does"
    return None if len(ours) > 1 else f"it holds no {what} of whisper-steer"


__all__ = ["Written", "check_target", "replacing"]
