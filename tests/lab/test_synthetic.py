"""If these fail, the command leaves out a dictionary that was asked for, or mislabels one."""

import json
from pathlib import Path

import pytest
import torch
from helpers import run

from whisper_steer.lab import known, synthetic
from whisper_steer.lab.known import KnownFeatures, known_features
from whisper_steer.lab.synthetic import measured
from whisper_steer.sae.plan import CONTROLS, Plan


def test_a_row_for_each_kind_and_control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "HELD_OUT", 1)
    options = ["--probability", "constant", "--kind", "topk", "--steps", 1, "--batch", 32]
    result = run("lab", "synthetic", *options, "--control", "frozen-decoder", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    values = json.loads((tmp_path / "out" / "synthetic.json").read_text())["values"]
    assert [(v["probability"], v["control"], v["paper"]) for v in values] == [
        ("constant", "trained", "99.9 %"),
        ("constant", "frozen-decoder", ""),
    ]
    assert all(v["active"] == 20 and v["recovered"] == 0 for v in values)
    assert (tmp_path / "out" / "synthetic.svg").read_text().startswith("<svg")


def test_an_easy_set_is_recovered_and_by_the_trained_sae_alone() -> None:
    """32 features, 2 of them active at a time, of 16 dimensions."""
    easy = known_features("constant", n=16, features=32)
    easy.probability[:] = 2 / 32
    plan = Plan("topk", 2, 3, steps=400, batch=128, learning_rate=5e-3)
    found = measured(plan, CONTROLS, easy)
    trained = found.pop(None)
    assert trained["recovered"] > 0.6 and trained["explained_variance"] > 0.75
    assert set(found) == set(CONTROLS)
    assert all(other["recovered"] < trained["recovered"] for other in found.values())


def test_variance_explained_is_of_rows_behind_those_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    batch = KnownFeatures.batch

    def watched(self: KnownFeatures, size: int, number: int) -> torch.Tensor:
        seen.append(number)
        return batch(self, size, number)

    monkeypatch.setattr(known.KnownFeatures, "batch", watched)
    made = known_features("constant", n=16, features=32)
    found = measured(Plan("topk", 2, 1, steps=30, batch=8), (), made)[None]
    assert set(seen[:-8]) == set(range(30)) and min(seen[-8:]) >= 30
    assert 0 <= found["dead"] <= 1 and found["explained_variance"] < 1 and found["active"] == 2
