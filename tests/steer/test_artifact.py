"""If these fail, a user runs steering made for another model, or a damaged file ends in a traceback."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import whisper
from helpers import make_artifact, run
from safetensors.torch import load_file, save_file
from whisper.model import Whisper

from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.errors import ArtifactError, FingerprintError, UsageError
from whisper_steer.gate.kinds import Conv
from whisper_steer.steer import find as artifacts
from whisper_steer.steer.artifact import Artifact, read_sae


@pytest.fixture
def folder(tiny_model: Whisper, tmp_path: Path) -> Path:
    return make_artifact(tiny_model.encoder, threshold=2.0).save(tmp_path / "saved")


def test_what_was_saved_comes_back(tiny_model: Whisper, folder: Path) -> None:
    made, loaded = make_artifact(tiny_model.encoder, threshold=2.0), Artifact.load(folder)
    hidden = torch.randn(1, 1500, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(made.gate.evidence(hidden), loaded.gate.evidence(hidden))
    assert torch.equal(made.edits.latents.encode(hidden)[0], loaded.edits.latents.encode(hidden)[0])
    assert torch.equal(made.calibration.curve, loaded.calibration.curve)
    assert torch.equal(made.calibration.nonspeech, loaded.calibration.nonspeech)
    assert made.calibration.utterances == loaded.calibration.utterances == 400
    for name in ("fingerprint", "hook_point", "gate_point", "strengths"):
        assert getattr(made, name) == getattr(loaded, name)
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
    other.calibration.curve[0, 1] += 1
    assert other.digest() != before
    for name, value in (("gate_point", "blocks.0"), ("hook_point", "ln_post")):
        moved = Artifact.load(folder)
        setattr(moved, name, value)
        assert moved.digest() != before
    more = Artifact.load(folder)
    more.calibration.utterances += 1
    assert more.digest() != before


def test_there_is_no_pickle_in_the_folder(folder: Path) -> None:
    assert sorted(p.name for p in folder.iterdir()) == [
        "card.json",
        "sae.safetensors",
        "steering.safetensors",
    ]


def test_saving_again_replaces_the_folder_whole(tiny_model: Whisper, folder: Path) -> None:
    bare = make_artifact(tiny_model.encoder, threshold=3.0)
    bare.sae = None
    bare.save(folder)
    assert not (folder / "sae.safetensors").exists()
    assert float(Artifact.load(folder).calibration.nonspeech[0]) == 3.0
    assert [p.name for p in folder.parent.iterdir()] == ["saved"]


def test_another_model_is_refused(folder: Path) -> None:
    with pytest.raises(FingerprintError, match=r"fitted on another encoder.*whisper-steer fit"):
        Artifact.load(folder).check("sha256:" + "0" * 64)


def test_the_bfloat16_copy_of_its_model_is_no_other_model(
    tiny_path: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path / "cache"))
    rounded = encoder_fingerprint(whisper.load_model(str(tiny_path), device="cpu").bfloat16().encoder)
    Artifact.load(folder).check(rounded)
    (tmp_path / "cache" / "steering").mkdir(parents=True)
    shutil.copytree(folder, tmp_path / "cache" / "steering" / "mine")
    assert artifacts.find(rounded) == tmp_path / "cache" / "steering" / "mine"


def test_a_card_of_before_bfloat16_still_loads(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    del card["fingerprint_bfloat16"]
    (folder / "card.json").write_text(json.dumps(card))
    loaded = Artifact.load(folder)
    loaded.check(card["fingerprint"])
    with pytest.raises(FingerprintError):
        loaded.check("sha256:" + "0" * 64)


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


def rewrite_card(folder: Path, **changes: Any) -> None:
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))


@pytest.mark.parametrize(
    "name",
    [
        "gate.weight",
        "gate.bias",
        "gate.mean",
        "gate.latents.threshold",
        "edits.mean_difference",
        "edits.silence.change",
        "edits.silence.condition.threshold",
        "calibration.curve",
        "calibration.nonspeech",
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_is_refused(folder: Path, name: str, value: float) -> None:
    """With one NaN the gate finds nobody speaking anywhere, and every transcript comes out empty."""
    tensors = load_file(folder / "steering.safetensors")
    tensors[name].view(-1)[0] = value
    save_file(tensors, folder / "steering.safetensors")
    with pytest.raises(ArtifactError, match=rf"{name} holds NaN or infinite values"):
        Artifact.load(folder)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("gate.weight", (5,)),
        ("gate.bias", (1,)),
        ("gate.mean", (31,)),
        ("gate.latents.weight", (32, 5)),
        ("gate.latents.directions", (4, 31)),
        ("edits.latents.weight", (31, 4)),
        ("edits.latents.threshold", (5,)),
        ("edits.sign", (3,)),
        ("edits.mean_difference", (64,)),
        ("edits.silence.change", (3,)),
        ("edits.silence.condition.weight", (2,)),
        ("edits.silence.condition.latents.weight", (31, 1)),
        ("calibration.curve", (0, 2)),
        ("calibration.curve", (20, 3)),
        ("calibration.nonspeech", (0,)),
        ("calibration.nonspeech", (2, 2)),
    ],
)
def test_shapes_that_do_not_go_together_are_refused(folder: Path, name: str, shape: tuple[int, ...]) -> None:
    tensors = load_file(folder / "steering.safetensors")
    save_file({**tensors, name: torch.zeros(shape)}, folder / "steering.safetensors")
    with pytest.raises(ArtifactError, match=r"is damaged") as raised:
        Artifact.load(folder)
    assert "\n" not in str(raised.value)


def test_a_fit_that_came_to_nothing_is_not_saved(tiny_model: Whisper, tmp_path: Path) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=2.0)
    artifact.gate.weight[2] = float("nan")
    with pytest.raises(ArtifactError, match=r"gate\.weight holds NaN"):
        artifact.save(tmp_path / "nan")
    assert not (tmp_path / "nan").exists()


def conv_gate(n: int = 6) -> Conv:
    generator = torch.Generator().manual_seed(0)
    shapes = {
        "mean": (32,),
        "weight": (2 * n,),
        "bias": (),
        "hidden_weight": (32, n),
        "hidden_bias": (n,),
        "near_weight": (n, n, 13),
        "near_bias": (n,),
        "far_weight": (n, n, 9),
        "far_bias": (n,),
    }
    return Conv(**{name: torch.randn(shape, generator=generator) for name, shape in shapes.items()})


def test_a_convolutional_gate_comes_back_whole_or_not_at_all(tiny_model: Whisper, tmp_path: Path) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=2.0)
    artifact.gate = conv_gate()
    folder = artifact.save(tmp_path / "conv")
    loaded = Artifact.load(folder)
    assert loaded.gate.kind == loaded.card()["gate"]["kind"] == "conv"
    hidden = torch.randn(1, 1500, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded.gate.evidence(hidden), artifact.gate.evidence(hidden))
    whole = load_file(folder / "steering.safetensors")
    for name in (name for name in whole if name.startswith("gate.")):
        for tensors in (
            {key: value for key, value in whole.items() if key != name},
            {**whole, name: whole[name][None]},
            {**whole, "gate.far_weight": whole["gate.far_weight"][:, :, 1:].clone()},
        ):
            save_file(tensors, folder / "steering.safetensors")
            with pytest.raises(ArtifactError, match=r"is damaged"):
                Artifact.load(folder)


def test_a_gate_behind_the_edits_is_refused(tiny_model: Whisper, folder: Path, tmp_path: Path) -> None:
    """It would judge what was edited already."""
    artifact = make_artifact(tiny_model.encoder, threshold=2.0, hook_point="blocks.0")
    artifact.gate_point = "blocks.1"
    with pytest.raises(ArtifactError, match=r"blocks\.1 reads behind the edits at blocks\.0"):
        artifact.save(tmp_path / "behind")
    rewrite_card(folder, hook_point="blocks.1", gate_point="ln_post")
    with pytest.raises(ArtifactError, match="reads behind the edits"):
        Artifact.load(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": 3},
        {"fingerprint": None},
        {"hook_point": ["ln_post"]},
        {"hook_point": "block 3"},
        {"gate_point": None},
        {"gate": {"kind": "oracle", "calibration_utterances": 400}},
        {"gate": {"kind": "linear", "calibration_utterances": 0}},
        {"strengths": [1.0]},
        {"strengths": {"clamp": "much"}},
        {"strengths": {"clamp": float("nan")}},
        {"strengths": {"clamp": True}},
        {"sae": [32]},
        {"model": "base"},
        {"latents": {"latent": 1}},
        {"latents": [1, 2]},
        {"schema": [2]},
    ],
)
def test_a_card_with_other_types_is_refused(folder: Path, changes: dict[str, Any]) -> None:
    rewrite_card(folder, **changes)
    with pytest.raises(ArtifactError) as raised:
        Artifact.load(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", ["[]", "3", '"card"', "null", "[" * 200_000, '{"a":' * 200_000, "\0"])
def test_a_card_that_is_no_object_is_refused(
    folder: Path, content: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "card.json").write_text(content)
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(folder.parent))
    for command in (["inspect", folder], ["models"]):
        done = run(*command)
        assert "Traceback" not in done.output
        assert done.exception is None or isinstance(done.exception, SystemExit)
    with pytest.raises(ArtifactError, match=r"is damaged") as raised:
        Artifact.load(folder)
    assert "\n" not in str(raised.value)


def test_a_damaged_sae_is_told_where_it_is_asked_for(folder: Path) -> None:
    (folder / "sae.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ArtifactError, match=r"is damaged"):
        Artifact.load(folder).load_sae()


def test_a_name_that_no_folder_can_have_is_told() -> None:
    with pytest.raises(UsageError, match=r"no steering artifact"):
        artifacts.resolve("a\0b")


@pytest.mark.parametrize(
    "name", [path.name for path in artifacts.shipped_folder().iterdir() if path.is_dir()]
)
def test_what_ships_is_sound(name: str) -> None:
    if not name.startswith("_"):
        assert Artifact.load(artifacts.resolve(name)).name == name


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


def test_a_file_that_holds_no_sae_is_told(tmp_path: Path) -> None:
    save_file({"W_enc": torch.zeros(4, 8)}, tmp_path / "sae.safetensors")
    with pytest.raises(ArtifactError, match="damaged"):
        read_sae(tmp_path / "sae.safetensors")
