"""If these fail, the command leaves out a dictionary that was asked for, or mislabels one."""

import json
from pathlib import Path

import pytest
from helpers import run

from whisper_steer.lab import known, learners, synthetic
from whisper_steer.lab.known import KnownFeatures, known_features
from whisper_steer.lab.learners import Plan
from whisper_steer.lab.synthetic import measured


def test_a_row_for_each_kind_and_control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "HELD_OUT", 1)
    monkeypatch.setattr(learners, "COVARIANCE_ROWS", 200)
    options = ["--probability", "constant", "--kind", "topk", "--steps", 1, "--batch", 32]
    options += ["--control", "trained", "--control", "frozen decoder"]
    result = run("lab", "synthetic", *options, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    values = json.loads((tmp_path / "out" / "synthetic.json").read_text())["values"]
    assert [(v["probability"], v["control"], v["paper"]) for v in values] == [
        ("constant", "trained", "99.9 %"),
        ("constant", "frozen decoder", ""),
    ]
    assert all(v["active"] == 20 and v["recovered"] == 0 for v in values)
    assert (tmp_path / "out" / "synthetic.svg").read_text().startswith("<svg")


def test_variance_explained_is_of_rows_behind_those_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    batch = KnownFeatures.batch

    def watched(self: KnownFeatures, size: int, number: int):  # type: ignore[no-untyped-def]
        seen.append(number)
        return batch(self, size, number)

    monkeypatch.setattr(known.KnownFeatures, "batch", watched)
    made = known_features("constant", n=16, features=32)
    found = measured("topk", "trained", made, Plan(steps=3, batch=8, k=2, latents=16))
    assert set(seen[:-8]) == {0, 1, 2} and min(seen[-8:]) >= 3
    assert 0 <= found["dead"] <= 1 and found["explained_variance"] < 1 and found["active"] == 2
