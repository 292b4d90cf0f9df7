"""The card of a folder of ours: a JSON object that says what lies beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from whisper_steer.errors import ArtifactError

CARD = "card.json"
DEEPEST = 50
"""lists and objects in one another that a file of ours may have; Python gives up at some hundreds"""


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a folder. Raises `ArtifactError` where it cannot be read or is no JSON object."""
    try:
        card = read_json(folder / CARD)
    except (OSError, ValueError) as error:
        raise damaged(folder, error) from error
    if not isinstance(card, dict):
        raise damaged(folder, f"{CARD} holds no object")
    return card


def read_json(path: Path) -> Any:
    """What a JSON file says, if it can be written again. Raises `OSError`, `ValueError`, also where it is nested so
    deep that no file of ours can be meant, or holds halves of characters, which no terminal and no file takes."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deep") from None
    if not _is_shallow(found, DEEPEST):
        raise ValueError(f"{path.name} is nested too deep")
    json.dumps(found, ensure_ascii=False).encode()
    return found


def _is_shallow(value: Any, levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_is_shallow(each, levels - 1) for each in inside)


def damaged(folder: Path, why: Exception | str) -> ArtifactError:
    """The error for an artifact that cannot be used, in one line."""
    text = " ".join(str(why).split())
    text = text if isinstance(why, str) else f"{type(why).__name__}: {text}"
    return ArtifactError(f"{folder} is damaged ({text}); copy or fit it again")
