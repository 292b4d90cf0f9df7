"""If these fail, an SAE does not come back as it was saved, or a foreign file does more than be read."""

import io
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from helpers import random_sae
from safetensors.torch import save_file

from whisper_steer.cli import main
from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.sae.files import load, save
from whisper_steer.sae.model import SAE


def state_of(sae: SAE) -> dict[str, torch.Tensor]:
    return {name: value.contiguous() for name, value in sae.state_dict().items()}


def of_every_kind() -> dict[str, SAE]:
    state = random_sae().state_dict()
    each = {"threshold": torch.rand(128, generator=torch.Generator().manual_seed(1)) * 0.3}
    raw = {"mean": torch.zeros(32)}
    return {
        "one threshold": SAE.of(state, 4),
        "one for each": SAE.of({**state, **each}, 4),
        "ReLU": SAE.of({**state, "threshold": torch.zeros(())}, 0),
        "top-k": SAE.of(state, 7, "topk"),
        "top-k, raw": SAE.of({**state, **raw}, 7, "topk", 1.0),
        "raw": SAE.of({**state, **each, **raw}, 4, frame_norm=1.0),
        "centred and divided": SAE.of(state, 4, frame_norm=3.5),
    }


def activations() -> torch.Tensor:
    return torch.randn(200, 32, generator=torch.Generator().manual_seed(2)) * 4


def assert_same(made: SAE, sae: SAE) -> None:
    h = activations()
    assert sae.encode(h).any()
    torch.testing.assert_close(made.encode(h), sae.encode(h), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(made.reconstruct(h), sae.reconstruct(h), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("format", ["own", "saelens"])
@pytest.mark.parametrize("kind", of_every_kind())
def test_every_kind_comes_back_as_it_was_saved(kind: str, format: str, tmp_path: Path) -> None:
    sae = of_every_kind()[kind]
    sae.about = {"hook_point": "blocks.3", "model": "tiny.en", "seed": 3}
    path = tmp_path / "folder" / ("sae.safetensors" if format == "own" else "sae")
    save(sae, path, format)  # type: ignore[arg-type]
    made = load(path)
    assert_same(made, sae)
    assert made.config == sae.config or (format == "saelens" and kind == "centred and divided")
    assert made.about == sae.about
    assert made.threshold.shape == sae.threshold.shape
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_half_is_half_as_large_and_nearly_the_same(tmp_path: Path) -> None:
    sae = of_every_kind()["one for each"]
    save(sae, tmp_path / "whole.safetensors")
    save(sae, tmp_path / "half.safetensors", half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    made = load(tmp_path / "half.safetensors")
    assert torch.equal(made.threshold, sae.threshold)
    torch.testing.assert_close(made.W_enc, sae.W_enc, atol=1e-3, rtol=1e-3)


def test_a_bare_file_is_a_batch_top_k_sae_with_inputs_of_norm_1(tmp_path: Path) -> None:
    sae = random_sae()
    half = {name: value.half() for name, value in state_of(sae).items()}
    save_file(half, tmp_path / "sae.safetensors")
    made = load(tmp_path / "sae.safetensors")
    assert (made.config.activation, made.config.frame_norm, made.config.k) == ("threshold", None, 50)
    torch.testing.assert_close(made.W_enc, sae.W_enc, atol=1e-3, rtol=1e-3)


def test_a_file_replaces_another_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sae.safetensors"
    save(of_every_kind()["raw"], path)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        for target, format in ((path, "own"), (tmp_path / "folder", "saelens")):
            with pytest.raises(OSError, match="No space"):
                save(of_every_kind()["ReLU"], target, format)  # type: ignore[arg-type]
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    assert_same(load(path), of_every_kind()["raw"])


def test_what_is_in_the_way_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("letters")
    for format in ("own", "saelens"):
        with pytest.raises(UsageError):
            save(of_every_kind()["raw"], tmp_path, format)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        save(of_every_kind()["raw"], tmp_path / "mine", "saelens")
    assert (tmp_path / "mine").read_text() == "letters"


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_nothing_in_a_file_is_run(kind: str, tmp_path: Path) -> None:
    held = {"encoder.weight": torch.zeros(4, 2), "k": Evil(tmp_path / "ran")}
    if kind == "torch":
        torch.save(held, tmp_path / "ae.pt")
    else:
        (tmp_path / "ae.pt").write_bytes(pickle.dumps(held))
    for path in (tmp_path, tmp_path / "ae.pt"):
        with pytest.raises(ArtifactError, match="never run") as raised:
            load(path)
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "ran").exists()


def as_torch(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("sae.safetensors", b""),
        ("sae.safetensors", b"not tensors at all"),
        ("sae.pt", b""),
        ("sae.pt", b"not tensors at all"),
        ("sae.pt", as_torch([torch.zeros(3)])),
        ("sae.pt", as_torch({"weight": torch.zeros(3)})),
        ("sae.pt", as_torch({"encoder.weight": torch.zeros(4, 2), "decoder.weight": torch.zeros(2, 4)})),
        ("sae.pt", as_torch({"encoder.weight": torch.zeros(4, 2), "decoder.weight": "x"})),
        ("sae.pt", as_torch({"model": random_sae().state_dict()})),
        ("sae.bin", b"PK\x03\x04 but no archive"),
    ],
)
def test_foreign_and_damaged_files_end_in_one_line(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError) as raised:
        load(tmp_path / name)
    assert "\n" not in str(raised.value)
    assert str(tmp_path) in str(raised.value)


def test_there_must_be_an_sae(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.safetensors", tmp_path / "none.pt"):
        with pytest.raises(ArtifactError):
            load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("b_enc", torch.zeros(127)),
        ("mean", torch.zeros(1)),
        ("threshold", torch.zeros(2)),
        ("W_dec", torch.zeros(32, 128)),
        ("W_enc", torch.zeros(32)),
        ("b_dec", torch.full((32,), torch.nan)),
    ],
)
def test_tensors_that_do_not_go_together_are_refused(name: str, value: torch.Tensor, tmp_path: Path) -> None:
    save_file({**state_of(random_sae()), name: value}, tmp_path / "sae.safetensors")
    with pytest.raises(ArtifactError, match="is damaged") as raised:
        load(tmp_path / "sae.safetensors")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "said", ["{", "[]", '{"schema": 9}', '{"activation": "x"}', '{"frame_norm": 0}', '{"k": null}']
)
def test_a_config_that_says_nothing_sound_is_refused(said: str, tmp_path: Path) -> None:
    save_file(state_of(random_sae()), tmp_path / "sae.safetensors", {"whisper_steer": said})
    with pytest.raises(ArtifactError, match="is damaged"):
        load(tmp_path / "sae.safetensors")


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["sae", "convert", *map(str, args)])


def test_convert_there_and_back(tmp_path: Path) -> None:
    save(of_every_kind()["one threshold"], tmp_path / "sae.safetensors")
    done = run(tmp_path / "sae.safetensors", tmp_path / "lens", "--to", "saelens", "--point", "blocks.1")
    assert done.exit_code == 0, done.output
    assert "128 latents of blocks.1, width 32" in done.stdout
    assert "give it h - mean" in done.stdout
    done = run(tmp_path / "lens", tmp_path / "back.safetensors", "--to", "own", "--half")
    assert done.exit_code == 0, done.output
    made = load(tmp_path / "back.safetensors")
    assert made.about["hook_point"] == "blocks.1"
    torch.testing.assert_close(made.W_dec, random_sae().W_dec.detach(), atol=1e-3, rtol=1e-3)


def test_wrong_use_of_convert_is_told(tmp_path: Path) -> None:
    path = tmp_path / "sae.safetensors"
    save(of_every_kind()["top-k"], path)
    for args in (
        (path, path, "--to", "own"),
        (path, tmp_path / "b", "--to", "own", "--calibrate-on", "manifest:x"),
        (path, tmp_path / "b", "--to", "own", "--model", "tiny.en"),
        (path, tmp_path / "b", "--to", "saelens", "--half"),
        (path, tmp_path / "b", "--to", "own", "--calibrate-on", "manifest:x", "--model", "tiny.en"),
    ):
        done = run(*args)
        assert done.exit_code == 2, args
        assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "b").exists()


def test_convert_calibrates_a_top_k_sae_on_a_models_activations(tiny_path: Path, tmp_path: Path) -> None:
    save(of_every_kind()["top-k"], tmp_path / "sae.safetensors")
    rng = np.random.default_rng(0)
    lines = []
    for i, split in enumerate(("fit", "fit", "test")):
        soundfile.write(tmp_path / f"{i}.wav", rng.normal(size=16000).astype(np.float32) * 0.1, 16000)
        lines.append({"path": f"{i}.wav", "kind": "nonspeech", "split": split, "group": str(i)})
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    done = run(
        *(tmp_path / "sae.safetensors", tmp_path / "made.safetensors", "--to", "own", "--model", tiny_path),
        *("--calibrate-on", f"manifest:{tmp_path / 'm.jsonl'}", "--point", "blocks.0", "--device", "cpu"),
    )
    assert done.exit_code == 0, done.output
    assert "7 latents a frame, on average over 100 frames of 2 clips" in done.stdout
    made = load(tmp_path / "made.safetensors")
    assert made.config.activation == "threshold"
    assert made.about["calibrated"]["frames"] == 100
    assert made.latents(torch.tensor([3])).weight.shape == (32, 1)
