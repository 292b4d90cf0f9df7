"""A small archive of recordings."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from archive_material import sound

pytest.importorskip("pyarrow", reason="pip install '.[archive]'")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six recordings of 1.0 to 1.5 s in two folders; further files that are none."""
    root = tmp_path / "in"
    for i in range(6):
        path = root / f"d{i % 2}" / f"{i}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound(1 + i / 10, i), 16000)
    (root / "notes.txt").write_text("not a recording")
    (root / "d0" / "._0.wav").write_bytes(b"what macOS leaves behind")
    return root
