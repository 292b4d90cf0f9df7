"""If these fail, one damaged file in the cache keeps a user from steering until they find and delete it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import make_artifact
from whisper.model import Whisper

from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.errors import UsageError
from whisper_steer.files.cache import cache_folder
from whisper_steer.fit import pipeline
from whisper_steer.fit.auto import auto_fit
from whisper_steer.steer import find as artifacts
from whisper_steer.steer.artifact import Artifact


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_model: Whisper) -> None:
    """An artifact made by hand for the minutes of a fit; a cache of its own."""
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("whisper_steer.fit.auto.load_pack", list)
    monkeypatch.setattr(pipeline, "fit", lambda *_, **__: make_artifact(tiny_model.encoder, threshold=1.0))


def shorten_tensors(folder: Path) -> None:
    path = folder / "steering.safetensors"
    path.write_bytes(path.read_bytes()[:40])


def lose_tensors(folder: Path) -> None:
    (folder / "steering.safetensors").unlink()


def shorten_card(folder: Path) -> None:
    path = folder / "card.json"
    path.write_bytes(path.read_bytes()[:40])


def lose_card(folder: Path) -> None:
    (folder / "card.json").unlink()


@pytest.mark.parametrize("damage", [shorten_tensors, lose_tensors, shorten_card, lose_card])
def test_a_damaged_one_is_passed_over_and_replaced(
    tiny_model: Whisper, damage: Callable[[Path], None]
) -> None:
    fingerprint = encoder_fingerprint(tiny_model.encoder)
    folder = auto_fit(tiny_model, "tiny")
    assert artifacts.find(fingerprint) == folder
    damage(folder)
    assert artifacts.find(fingerprint) is None
    assert auto_fit(tiny_model, "tiny") == folder
    assert Artifact.load(folder).fingerprint == fingerprint
    assert [each.name for each in folder.parent.iterdir()] == [folder.name]


def test_a_damaged_one_hides_no_sound_one(tiny_model: Whisper) -> None:
    first, second = auto_fit(tiny_model, "tiny"), cache_folder("steering") / "zzz"
    make_artifact(tiny_model.encoder, threshold=1.0).save(second)
    shorten_tensors(first)
    assert auto_fit(tiny_model, "tiny") == second


def test_a_users_file_in_the_cache_stays_and_is_told_before_the_fit(
    tiny_model: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = auto_fit(tiny_model, "tiny")
    shorten_card(folder)
    (folder / "notes.txt").write_text("mine")
    monkeypatch.setattr(pipeline, "fit", None)
    with pytest.raises(UsageError, match=r"notes\.txt"):
        auto_fit(tiny_model, "tiny")
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_models_path_does_not_lead_out_of_the_cache(tiny_model: Whisper, tmp_path: Path) -> None:
    folder = auto_fit(tiny_model, str(tmp_path / "models" / "mine"))
    assert folder.parent == cache_folder("steering")
    assert artifacts.find(encoder_fingerprint(tiny_model.encoder)) == folder
    assert not (tmp_path / "models").exists()
