"""If these fail, an SAE's reconstruction is said to cost the decoder more or less than it does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from bench import corpus
from helpers import run
from safetensors.torch import save_file


def test_an_sae_that_reconstructs_all_loses_nothing_and_one_that_gives_the_mean_all(
    tiny_path: Path, tmp_path: Path
) -> None:
    both = torch.cat([torch.eye(32), -torch.eye(32)])
    exact = {
        "W_enc": both.T.contiguous(),
        "W_dec": both,
        "b_enc": torch.zeros(64),
        "b_dec": torch.zeros(32),
        "mean": 0.1 * torch.randn(32, generator=torch.Generator().manual_seed(0)),
        "threshold": torch.tensor(0.0),
    }
    save_file(exact, tmp_path / "exact.safetensors")
    save_file({**exact, "threshold": torch.tensor(9.0)}, tmp_path / "nothing.safetensors")
    data = ["--data", f"manifest:{corpus(tmp_path)}", "--clips", "2", "--device", "cpu"]
    for name, expected in (("exact", 1.0), ("nothing", 0.0)):
        sae = ["--sae", f"blocks.0={tmp_path / name}.safetensors"]
        done = run("lab", "loss", "--model", tiny_path, *sae, *data, "--out", tmp_path / name)
        assert done.exit_code == 0, done.stderr
        (value,) = json.loads((tmp_path / name / "loss.json").read_text())["values"]
        assert value["loss_recovered"] == pytest.approx(expected, abs=1e-3)
        assert value["ce_clean"] != pytest.approx(value["ce_ablated"], abs=1e-3)
