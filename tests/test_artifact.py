"""If these fail, a user runs steering made for another model, or a damaged file ends in a traceback."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers import make_artifact
from whisper.model import Whisper

from whisper_steer import artifact as artifacts
from whisper_steer.artifact import Artifact
from whisper_steer.errors import ArtifactError, FingerprintError, UsageError


@pytest.fixture
def folder(tiny_model: Whisper, tmp_path: Path) -> Path:
    return make_artifact(tiny_model.encoder, threshold=2.0).save(tmp_path / "saved")


def test_what_was_saved_comes_back(tiny_model: Whisper, folder: Path) -> None:
    made, loaded = make_artifact(tiny_model.encoder, threshold=2.0), Artifact.load(folder)
    hidden = torch.randn(1, 1500, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(made.gate.frame_evidence(hidden), loaded.gate.frame_evidence(hidden))
    assert torch.equal(made.edits.latents.encode(hidden)[0], loaded.edits.latents.encode(hidden)[0])
    assert torch.equal(made.speech_scores, loaded.speech_scores)
    assert (made.fingerprint, made.hook_point, made.strengths) == (
        loaded.fingerprint,
        loaded.hook_point,
        loaded.strengths,
    )
    torch.testing.assert_close(
        made.sae.W_dec, loaded.load_sae().W_dec, atol=1e-3, rtol=1e-3
    )  # stored as fp16


def test_whoever_may_read_the_card_may_read_the_weights(folder: Path) -> None:
    """A service runs as another user than the one who fitted."""
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_the_digest_tells_what_steers_and_not_what_the_card_tells(folder: Path) -> None:
    """Else a benchmark starts anew because a figure was written into a card, or goes on with another gate."""
    loaded, before = Artifact.load(folder), Artifact.load(folder).digest()
    loaded.info["measured"] = {"leak": 0.1}
    assert loaded.digest() == before
    loaded.strengths["clamp"] += 1
    assert loaded.digest() != before
    other = Artifact.load(folder)
    other.speech_scores[0] += 1
    assert other.digest() != before


def test_there_is_no_pickle_in_the_folder(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == [
        "card.json",
        "sae.safetensors",
        "steering.safetensors",
    ]


def test_saving_again_replaces_the_folder_whole(tiny_model: Whisper, folder: Path) -> None:
    (folder / "left-over").write_text("x")
    make_artifact(tiny_model.encoder, threshold=3.0).save(folder)
    assert not (folder / "left-over").exists()
    assert float(Artifact.load(folder).speech_scores[0]) == 3.0
    assert [p.name for p in folder.parent.iterdir()] == ["saved"]


def test_another_model_is_refused(folder: Path) -> None:
    with pytest.raises(FingerprintError, match=r"fitted on another encoder.*whisper-steer fit"):
        Artifact.load(folder).check("sha256:" + "0" * 64)


@pytest.mark.parametrize("name", ["card.json", "steering.safetensors"])
@pytest.mark.parametrize("damage", ["truncated", "missing", "rubbish"])
def test_damage_is_told_in_one_line(folder: Path, name: str, damage: str) -> None:
    path = folder / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:40] if damage == "truncated" else b"not what it should be")
    with pytest.raises(ArtifactError) as raised:
        Artifact.load(folder)
    assert "\n" not in str(raised.value)


def test_another_schema_is_refused(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "schema": 99}))
    with pytest.raises(ArtifactError, match="schema 99"):
        Artifact.load(folder)


def test_an_artifact_is_found_by_its_encoders_fingerprint(
    tiny_model: Whisper, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path / "cache"))
    fingerprint = Artifact.load(folder).fingerprint
    assert artifacts.find(fingerprint) is None
    (tmp_path / "cache" / "steering").mkdir(parents=True)
    shutil.copytree(folder, tmp_path / "cache" / "steering" / "mine")
    (tmp_path / "cache" / "steering" / "broken").mkdir()
    shutil.copytree(folder, tmp_path / "cache" / "steering" / "a-former-one")
    card = json.loads((folder / "card.json").read_text())
    (tmp_path / "cache" / "steering" / "a-former-one" / "card.json").write_text(
        json.dumps({**card, "schema": 1})
    )
    (tmp_path / "cache" / "steering" / "broken" / "card.json").write_text("{")
    assert artifacts.find(fingerprint) == tmp_path / "cache" / "steering" / "mine"


def test_an_unknown_name_lists_the_shipped(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no steering artifact at"):
        artifacts.resolve(tmp_path / "nothing")
