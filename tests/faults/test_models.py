"""If these fail, a file that is no checkpoint ends in a traceback, runs what is hidden in it, or takes the memory."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import ONCE, run
from whisper.model import ModelDimensions

from whisper_steer.cli.backends import Runtime, load
from whisper_steer.errors import ModelError, UsageError
from whisper_steer.models.load import load_model

SIZES = [field.name for field in fields(ModelDimensions)]


def refusal(model: Path | str) -> str:
    with pytest.raises(ModelError) as told:
        load_model(model, "cpu")
    (line,) = str(told.value).splitlines()
    assert str(model) in line
    return line


@pytest.mark.parametrize("value", [None, 0, -1, "x", 1.5, True, [1], 33, 10**9])
@pytest.mark.parametrize("size", SIZES)
def test_a_size_that_is_a_lie_is_refused_before_a_model_is_made(
    tiny_path: Path, tmp_path: Path, size: str, value: Any
) -> None:
    whole = torch.load(tiny_path, weights_only=True)
    torch.save({**whole, "dims": {**whole["dims"], size: value}}, tmp_path / "a.pt")
    refusal(tmp_path / "a.pt")


def test_weights_of_any_float_type_are_taken_and_others_refused(tiny_path: Path, tmp_path: Path) -> None:
    whole = torch.load(tiny_path, weights_only=True)
    for kind in (torch.float64, torch.bfloat16, torch.float32, torch.int16, torch.bool, torch.complex64):
        weights = {name: weight.to(kind) for name, weight in whole["model_state_dict"].items()}
        torch.save({**whole, "model_state_dict": weights}, tmp_path / "a.pt")
        if kind.is_floating_point:
            assert load_model(tmp_path / "a.pt", "cpu").encoder.conv1.weight.dtype == torch.float32
        else:
            assert f"is of {kind}" in refusal(tmp_path / "a.pt")


class Trap:
    """What a pickle would do as soon as it is read."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize(
    "case",
    ["tensor", "list", "no weights", "no sizes", "one more size", "one missing", "one more", "text", "flat", "sound",
     "words", "nothing", "half", "trap", "trap beside", "raw trap"],
)  # fmt: skip
def test_what_is_no_checkpoint_is_refused_and_never_run(
    tiny_path: Path, tmp_path: Path, wav_files: dict[str, Path], case: str
) -> None:
    whole = torch.load(tiny_path, weights_only=True)
    weights, name, path = whole["model_state_dict"], "encoder.conv1.weight", tmp_path / "a.pt"
    trap = Trap(tmp_path / "trace")
    raw = {
        "sound": wav_files["tone"].read_bytes(), "words": b"hello", "nothing": b"",
        "half": tiny_path.read_bytes()[:100_000], "raw trap": pickle.dumps(trap),
    }  # fmt: skip
    saved: dict[str, Any] = {
        "tensor": torch.zeros(3), "list": [1], "no weights": {"dims": whole["dims"]},
        "no sizes": {**whole, "dims": None}, "one more size": {**whole, "dims": {**whole["dims"], "more": 1}},
        "one missing": {**whole, "model_state_dict": {k: v for k, v in weights.items() if k != name}},
        "one more": {**whole, "model_state_dict": {**weights, "more": weights[name]}},
        "text": {**whole, "model_state_dict": {**weights, name: "x"}},
        "flat": {**whole, "model_state_dict": {**weights, name: weights[name].flatten()}},
        "trap": trap, "trap beside": {**whole, "more": trap},
    }  # fmt: skip
    if case in raw:
        path.write_bytes(raw[case])
    else:
        torch.save(saved[case], path)
    refusal(path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["a\0b.pt", "", ".", "x/" + "y" * 300, "/dev/null", "a/b", "\udcff.pt"])
def test_a_model_that_cannot_be_a_path_is_refused(name: str) -> None:
    with pytest.raises((ModelError, UsageError)) as told:
        load_model(name, "cpu")
    assert len(str(told.value).splitlines()) == 1


BROKEN = {
    "missing": None,
    "empty": b"",
    "object": b"{}",
    "list": b"[]",
    "deep": b"[" * 100_000,
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("damage", BROKEN)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.bin"])
def test_a_damaged_folder_of_ctranslate2_is_one_line(
    tiny_ct2: Path, tmp_path: Path, name: str, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if (name, damage) in {("config.json", "object"), ("tokenizer.json", "missing")}:
        pytest.skip("faster-whisper can do without")
    folder = Path(shutil.copytree(tiny_ct2, tmp_path / "model"))
    _damage(folder / name, damage)
    with pytest.raises((ModelError, UsageError)) as told:
        load("faster", str(folder), {"steering": None}, Runtime(device="cpu"))
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("damage", BROKEN)
@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "model.safetensors"])
def test_a_damaged_folder_of_transformers_is_one_line(
    hf_folder: Path, tmp_path: Path, name: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(hf_folder, tmp_path / "model"))
    _damage(folder / name, damage)
    with pytest.raises((ModelError, UsageError)) as told:
        load("transformers", str(folder), {"steering": None}, Runtime(device="cpu"))
    assert len(str(told.value).splitlines()) == 1
    assert capsys.readouterr().err == ""


@pytest.fixture(scope="module")
def hf_folder(tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    from whisper_steer.formats.hf import save_hf

    folder = tmp_path_factory.mktemp("models") / "tiny-random-hf"
    folder.mkdir()
    save_hf(tiny_model, folder)
    return folder


def _damage(path: Path, damage: str) -> None:
    content = BROKEN[damage]
    path.unlink()
    if content is not None:
        path.write_bytes(content)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "int8_float16"])
def test_a_number_format_that_the_processor_lacks_is_wrong_usage(
    tmp_path: Path, tiny_ct2: Path, wav_files: dict[str, Path], kind: str
) -> None:
    import ctranslate2

    if kind in ctranslate2.get_supported_compute_types("cpu"):
        pytest.skip(f"this processor has {kind}")
    done = run(
        "transcribe", wav_files["tone"], "--model", tiny_ct2, "--backend", "faster", "--device", "cpu",
        "--compute_type", kind, "-o", tmp_path, "--steering", "none", *ONCE,
    )  # fmt: skip
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith(
        f"Error: --compute_type {kind} is not in faster-whisper on cpu"
    )


@pytest.mark.parametrize("backend", ["openai", "faster", "transformers"])
@pytest.mark.parametrize("device", ["abacus", "cuda:99", "mps:7"])
def test_a_device_that_is_not_there_is_wrong_usage(
    tmp_path: Path, tiny_path: Path, tiny_ct2: Path, wav_files: dict[str, Path], backend: str, device: str
) -> None:
    done = run(
        "transcribe", wav_files["tone"], "--model", tiny_ct2 if backend == "faster" else tiny_path,
        "--backend", backend, "--device", device, "-o", tmp_path, "--steering", "none", *ONCE,
    )  # fmt: skip
    assert (done.exit_code, isinstance(done.exception, SystemExit)) == (2, True), done.stderr
    assert "cannot be used" in done.stderr.splitlines()[-1]


def test_more_threads_than_a_machine_starts_are_wrong_usage(tmp_path: Path) -> None:
    """OpenMP would end the process."""
    assert run("transcribe", "a.wav", "--threads", "100000", "-o", tmp_path).exit_code == 2
    assert not list(tmp_path.iterdir())
