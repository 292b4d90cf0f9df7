"""If these fail, a name loads another model than it says, or a user is not told how to get one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import whisper

from whisper_steer.errors import ModelError, UsageError
from whisper_steer.models import checkpoints, weights
from whisper_steer.models.checkpoints import default_model, find, remedy, resolve
from whisper_steer.models.load import load_model


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights package for tiny.en, and no other; and a cache of its own."""
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "package"
    monkeypatch.setattr(weights, "folder_of", lambda name: (folder, "p 1.0") if name == "tiny.en" else None)
    return folder


def cached(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch, intact: bool = True) -> Path:
    """A download of openai-whisper's."""
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.pt"
    file.write_bytes(b"weights")
    sha256 = hashlib.sha256(b"weights" if intact else b"whole weights").hexdigest()
    monkeypatch.setitem(whisper._MODELS, name, f"https://example.org/models/{sha256}/{name}.pt")
    return file


def test_a_download_comes_before_a_package(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty, full = str(tmp_path / "empty"), tmp_path / "full"
    file = cached(full, "tiny.en", monkeypatch)
    assert resolve("tiny.en", empty) == checkpoints.Checkpoint(packaged, "ct2", "package p 1.0")
    assert resolve("tiny.en", str(full)) == checkpoints.Checkpoint(file, "openai", "openai-whisper's cache")
    assert resolve("tiny", str(full)) is None


def test_half_a_download_is_passed_over(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(tmp_path / "half", "tiny.en", monkeypatch, intact=False)
    found = find("tiny.en", str(tmp_path / "half"))
    assert found is not None and found.path == packaged


def test_the_default_is_the_best_model_at_hand_that_can_be_steered(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, why = default_model(str(tmp_path / "empty"))
    assert name == "tiny.en" and "package p 1.0" in why
    cached(tmp_path / "full", "base", monkeypatch)
    assert default_model(str(tmp_path / "full"))[0] == "base"
    monkeypatch.setattr(weights, "folder_of", lambda _: None)
    assert default_model(str(tmp_path / "empty"))[0] == "base"


def test_what_a_folder_holds_is_told_by_its_files(tmp_path: Path) -> None:
    for name, files in {"ct2": ("config.json", "model.bin"), "hf": ("config.json",)}.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("{}")
        found = resolve(tmp_path / name)
        assert found is not None and found.format == name
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="holds no model"):
        resolve(tmp_path / "empty")
    with pytest.raises(ModelError, match="does not exist"):
        resolve("nowhere/model.pt")
    with pytest.raises(UsageError, match=r"unknown model 'tyni'.*tiny\.en"):
        resolve("tyni")
    with pytest.raises(UsageError, match="--backend transformers"):
        load_model(tmp_path / "hf")


def test_the_last_line_names_the_extra() -> None:
    assert remedy("tiny.en").startswith("pip install 'whisper-steer[tiny.en]', or ")
    assert "pip" not in remedy("medium")
