"""If these fail, a gate trained elsewhere is not the one that is calibrated."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from whisper_steer.errors import ArtifactError
from whisper_steer.gate.kinds import Conv, Linear
from whisper_steer.gate.store import load_gate, save_gate


def test_a_gate_comes_back_as_it_was(tmp_path: Path) -> None:
    n, taps = 3, 5
    gate = Conv(
        mean=torch.randn(8),
        weight=torch.randn(2 * n),
        bias=torch.tensor(0.5),
        hidden_weight=torch.randn(8, n),
        hidden_bias=torch.randn(n),
        near_weight=torch.randn(n, n, taps),
        near_bias=torch.randn(n),
        far_weight=torch.randn(n, n, taps),
        far_bias=torch.randn(n),
    )
    save_gate(gate, "blocks.1", tmp_path / "gate.safetensors")
    found, point = load_gate(tmp_path / "gate.safetensors")
    assert (type(found), point) == (Conv, "blocks.1")
    h = torch.randn(2, 200, 8)
    assert torch.equal(found.evidence(h), gate.evidence(h))
    assert [path.name for path in tmp_path.iterdir()] == ["gate.safetensors"]


def test_what_is_no_gate_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no gate")
    save_gate(Linear(torch.zeros(4), torch.zeros(4), torch.zeros(())), "blocks.0", tmp_path / "linear")
    damaged = (tmp_path / "linear").read_bytes().replace(b'"linear"', b'"lineal"')
    (tmp_path / "other").write_bytes(damaged)
    for name in ("missing", "text", "other"):
        with pytest.raises(
            ArtifactError, match=r"is no gate that `python -m whisper_steer\.lab\.gates` has written"
        ) as caught:
            load_gate(tmp_path / name)
        assert "\n" not in str(caught.value)
