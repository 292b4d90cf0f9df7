"""If these fail, the gate that ships cannot be trained again, or is not the gate that the package runs."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from whisper.model import Whisper

from whisper_steer.encoders.prefix import Prefix
from whisper_steer.gate.kinds import Conv
from whisper_steer.lab import gates
from whisper_steer.lab.scenes import read


def test_a_gate_from_scenes_to_file(
    tiny_path: Path,
    tiny_model: Whisper,
    scene_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gates, "FEWEST_STEPS", 1)
    path = tmp_path / "gate.safetensors"
    asked = [str(tiny_path), "--scenes-from", str(scene_folder), "--point", "blocks.1", "--hidden", "8"]
    result = CliRunner().invoke(gates.main, [*asked, "--device", "cpu", "--out", str(path)])
    assert result.exit_code == 0, result.output
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"kind": "conv", "point": "blocks.1"}
        gate = Conv(**{name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    assert gate.hidden_weight.shape == (32, 8)
    hidden = Prefix(tiny_model.encoder, "blocks.1")(
        gates.mels(read(scene_folder, "choose"), 80, torch.device("cpu"))
    )
    evidence = gate.evidence(hidden)
    assert evidence.shape == (2, 750) and bool(evidence.isfinite().all()) and float(evidence.std()) > 0


def test_what_is_missing_is_said_in_one_line(tiny_path: Path, tmp_path: Path) -> None:
    asked = [str(tiny_path), "--scenes-from", str(tmp_path), "--out", str(tmp_path / "gate.safetensors")]
    result = CliRunner().invoke(gates.main, asked)
    assert result.exit_code == 1 and result.output.startswith("Error: ") and result.output.count("\n") == 1
