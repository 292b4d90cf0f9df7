"""The card of a folder of ours: a JSON object that says what lies beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from whisper_steer.errors import ArtifactError

CARD = "card.json"


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a folder. Raises `ArtifactError` where it cannot be read or is no JSON object."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(folder, error) from error
    if not isinstance(card, dict):
        raise damaged(folder, f"{CARD} holds no object")
    return card


def damaged(folder: Path, why: Exception | str) -> ArtifactError:
    """The error for an artifact that cannot be used, in one line."""
    text = " ".join(str(why).split())
    text = text if isinstance(why, str) else f"{type(why).__name__}: {text}"
    return ArtifactError(f"{folder} is damaged ({text}); copy or fit it again")
