"""An SAE as a file of its own: read and written alone, whatever it steers."""

from __future__ import annotations

from pathlib import Path

from whisper_steer.sae.model import SAE
from whisper_steer.steer.artifact import read_sae


def load(path: str | Path) -> SAE:
    """The SAE in a file, ready for use. Raises `ArtifactError`."""
    return read_sae(Path(path))
