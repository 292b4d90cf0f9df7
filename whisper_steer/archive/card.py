"""The card of an archive's folder: what was transcribed there, and with which settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from whisper_steer import __version__
from whisper_steer.errors import UsageError
from whisper_steer.files.disk import write_whole
from whisper_steer.files.lock import LOCK

CARD = "archive.json"


def begin(out: Path, given: str, settings: dict[str, Any]) -> None:
    """Write the card of a new archive, or make sure that the one there is of the same INPUT and settings.

    Raises `UsageError` as `check`.
    """
    check(out, given, settings)
    if not (out / CARD).exists():
        write_whole(out / CARD, json.dumps(_card(given, settings), indent=2) + "\n")


def _card(given: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "whisper_steer": __version__,
        "input": str(Path(given).absolute()),
        "settings": json.loads(json.dumps(settings)),
    }


def check(out: Path, given: str, settings: dict[str, Any]) -> None:
    """Raise `UsageError` unless ``out`` is free, or an archive of the same INPUT and settings."""
    card = _card(given, settings)
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"{out} is a file: name a folder for the archive")
    try:
        before = json.loads((out / CARD).read_text(encoding="utf-8"))
        was, settings = before["input"], dict(before["settings"])
    except FileNotFoundError:
        others = sorted(each.name for each in out.iterdir() if each.name != LOCK)
        if others:
            raise UsageError(f"{out} holds {others[0]!r} and no archive: name a new folder") from None
        return
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{out / CARD} is damaged: name a new folder") from None
    if was != card["input"]:
        raise UsageError(f"{out} is the archive of {was}, not of {card['input']}: name another folder")
    for name in sorted(settings.keys() | card["settings"].keys()):
        old, new = settings.get(name), card["settings"].get(name)
        if old != new:
            raise UsageError(
                f"{out} was begun with --{name} {old}, not {new}: take that again, or name another folder"
            )


__all__ = ["CARD", "begin", "check"]
