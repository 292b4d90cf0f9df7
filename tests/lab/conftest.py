"""A few scenes on disk, made by two processes from a small corpus."""

from pathlib import Path

import pytest
from bench import corpus

from whisper_steer.lab import scenes


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"manifest:{corpus(tmp_path_factory.mktemp('corpus'))}"


@pytest.fixture(scope="session")
def scene_folder(manifest: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five scenes in parts of two, two other windows and two held-out scenes."""
    folder = tmp_path_factory.mktemp("scenes") / "made"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(scenes.SIZES, "scenes", 2)
        scenes.make([manifest], 5, 2, 2, workers=2, out=folder)
    return folder
