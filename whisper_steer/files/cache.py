"""Where whisper-steer keeps what it made on this machine: fitted steering, joined weights, checked hashes."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(kind: str) -> Path:
    """The folder for one kind of thing. ``WHISPER_STEER_CACHE`` moves all of them; the user's cache by default."""
    if override := os.environ.get("WHISPER_STEER_CACHE"):
        return Path(override) / kind
    import platformdirs

    return Path(platformdirs.user_cache_dir("whisper-steer")) / kind
