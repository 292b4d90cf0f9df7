"""If these fail, the risk that stands beside a segment is not the probability that was fitted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from whisper_steer.errors import ArtifactError
from whisper_steer.gate.hearing import Hearing
from whisper_steer.risk.probe import Probe, Risk, with_risk
from whisper_steer.risk.signs import HEARD, SIGNS

SEGMENT: dict[str, Any] = {
    "start": 0.0, "end": 2.0, "text": " Hello there.", "tokens": [1],
    "no_speech_prob": 0.1, "avg_logprob": -0.4, "compression_ratio": 0.9,
}  # fmt: skip
HEARING = Hearing(np.full(100, 3.0, np.float32), 0.0, 4.0)


def a_risk() -> Risk:
    generator = torch.Generator().manual_seed(0)

    def weight(n: int) -> torch.Tensor:
        return torch.randn(n, generator=generator) / n

    return Risk(
        "sha256:of-the-encoder",
        [1, 32],
        {
            "states": Probe(tuple(SIGNS), weight(len(SIGNS) + 32), 0.1, 0, "mean"),
            "scores": Probe(tuple(SIGNS), weight(len(SIGNS)), -0.2),
            "heard": Probe(HEARD, weight(len(HEARD)), 0.3),
        },
    )


def test_saved_and_loaded_it_says_the_same(tmp_path: Path) -> None:
    risk = a_risk()
    risk.save(tmp_path)
    loaded = Risk.load(tmp_path, ("sha256:of-the-encoder", None))
    assert loaded is not None
    states = torch.ones(32)
    assert loaded.of(SEGMENT, HEARING, states) == risk.of(SEGMENT, HEARING, states)


def test_each_runtime_is_read_by_the_probe_of_what_it_tells() -> None:
    risk = a_risk()
    heard = {k: SEGMENT[k] for k in ("start", "end", "text")}
    told = [risk.of(SEGMENT, HEARING, torch.ones(32)), risk.of(SEGMENT, HEARING), risk.of(heard, HEARING)]
    assert len(set(told)) == 3 and all(0 <= each <= 1 for each in told)
    assert all(each == round(each, 3) for each in told)
    assert risk.of({**SEGMENT, "text": " "}, HEARING) == 0.0


def test_without_a_risk_segments_stay_as_they_are() -> None:
    assert with_risk([SEGMENT], None, HEARING) == [SEGMENT]
    assert Risk.load(None, ()) is None


def test_numbers_that_are_not_finite_do_not_break_it() -> None:
    odd = {**SEGMENT, "avg_logprob": float("nan"), "no_speech_prob": 1.0, "compression_ratio": float("inf")}
    silent = Hearing(np.array([-np.inf, np.inf], np.float32), 0.0, 0.08)
    assert 0 <= a_risk().of(odd, silent, torch.full((32,), 1e6)) <= 1


def test_a_decoder_of_another_shape_is_not_read() -> None:
    risk = a_risk()
    assert risk.reads(1, 32) is risk.probes["states"] and risk.reads(2, 32) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"schema": 9},
        {"decoder": [1, 31]},
        {"decoder": None},
        {"probes": {"states": {}}},
        {"fingerprint": "another"},
    ],
)
def test_a_damaged_file_says_so(tmp_path: Path, damage: dict[str, Any]) -> None:
    a_risk().save(tmp_path)
    content = json.loads((tmp_path / "risk.json").read_text())
    (tmp_path / "risk.json").write_text(json.dumps(content | damage))
    with pytest.raises(ArtifactError, match=r"damaged|another encoder"):
        Risk.load(tmp_path, ("sha256:of-the-encoder",))
