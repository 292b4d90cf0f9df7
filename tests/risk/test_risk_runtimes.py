"""If these fail, a runtime's segments have no risk, or another runtime's, or stock's have one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import QUICK, contents, run
from whisper.model import Whisper

import whisper_steer
from whisper_steer.audio.load import load_audio
from whisper_steer.cli.backends.base import Runtime
from whisper_steer.cli.backends.faster import Faster
from whisper_steer.gate.hearing import Hearing
from whisper_steer.risk.probe import Probe, Risk
from whisper_steer.risk.signs import HEARD, SIGNS, signs
from whisper_steer.risk.states import Watch
from whisper_steer.runtimes.openai import stock_loop
from whisper_steer.runtimes.remember import Remembering
from whisper_steer.steer.artifact import Artifact

BIAS = {"states": 0.0, "scores": -1.0, "heard": 1.0}


@pytest.fixture(scope="module")
def risky(artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact by which all is speech, with a risk: what tells the probes apart is their bias."""
    folder = tmp_path_factory.mktemp("risk") / "artifact"
    shutil.copytree(artifacts["shut"], folder)
    weight = torch.zeros(len(SIGNS) + 32)
    weight[len(SIGNS) :] = torch.randn(32, generator=torch.Generator().manual_seed(0)) / 32
    probes = {
        "states": Probe(tuple(SIGNS), weight, BIAS["states"], 0, "last"),
        "scores": Probe(tuple(SIGNS), torch.zeros(len(SIGNS)), BIAS["scores"]),
        "heard": Probe(HEARD, torch.zeros(len(HEARD)), BIAS["heard"]),
    }
    Risk(Artifact.load(folder).fingerprint, [1, 32], probes).save(folder)
    return folder


def constant(name: str) -> float:
    return round(1 / (1 + float(np.exp(-BIAS[name]))), 3)


def test_openai_reads_the_decoder(tiny_model: Whisper, risky: Path, wav_files: dict[str, Path]) -> None:
    """Against the states of a run of stock's loop that was watched by hand."""
    options: dict[str, Any] = {"fp16": False, "temperature": 0.0}
    found = whisper_steer.transcribe(
        tiny_model, wav_files["chirp"], steering=risky, repetition_guard=False, **options
    )
    watch = Watch(tiny_model, [0])
    model = Remembering(tiny_model, watch=watch)
    stock = stock_loop(model, load_audio(wav_files["chirp"]), **options)["segments"]
    model.finish()
    risk = Risk.load(risky, (Artifact.load(risky).fingerprint,))
    assert risk is not None
    weight = risk.probes["states"].weight[len(SIGNS) :].double()
    written = 0
    for segment, states in zip(found["segments"], watch.at("last", stock), strict=True):
        wanted = 0.0 if states is None else float(torch.sigmoid(states.double() @ weight))
        assert segment["risk"] == (round(wanted, 3) if segment["text"].strip() else 0.0)
        written += states is not None
    assert written
    bare = [{k: v for k, v in s.items() if k not in ("risk", "steering")} for s in found["segments"]]
    assert bare == stock


def test_stock_has_no_risk(tiny_model: Whisper, wav_files: dict[str, Path]) -> None:
    found = whisper_steer.transcribe(
        tiny_model, wav_files["chirp"], steering=None, fp16=False, temperature=0.0
    )
    assert found["segments"] and not any("risk" in s or "steering" in s for s in found["segments"])


def test_faster_is_read_by_evidence_and_scores(
    tiny_ct2: Path, risky: Path, wav_files: dict[str, Path]
) -> None:
    backend = Faster(str(tiny_ct2), {"steering": risky}, Runtime("cpu", None, 1, "float32"))
    options = {"beam_size": 1, "temperature": 0.0, "max_new_tokens": 12, "language": "en"}
    segments = backend.transcribe(str(wav_files["chirp"]), verbose=None, **options)["segments"]
    assert segments and {s["risk"] for s in segments if s["text"].strip()} == {constant("scores")}


def test_transformers_is_read_by_evidence_and_text(
    tiny_path: Path, risky: Path, wav_files: dict[str, Path], tmp_path: Path
) -> None:
    pytest.importorskip("transformers")
    options = ("--model", tiny_path, "--steering", risky, "--backend", "transformers", *QUICK)
    done = run("transcribe", wav_files["chirp"], *options, "-o", tmp_path, "--flag-risk", "0.5", "-f", "all")
    assert done.exit_code == 0, done.output
    (segments,) = (each["segments"] for name, each in contents(tmp_path).items() if name.endswith(".json"))
    assert segments and {(s["risk"], s["flagged"]) for s in segments} == {(constant("heard"), True)}
    assert f"NOTE risk {constant('heard'):.3f}, flagged" in contents(tmp_path)["chirp.vtt"]
    assert f"(risk {constant('heard'):.2f})" in done.output


def test_an_artifact_without_a_risk_says_so(
    tiny_path: Path, artifacts: dict[str, Path], wav_files: dict[str, Path], tmp_path: Path
) -> None:
    options = ("--model", tiny_path, "--steering", artifacts["shut"], *QUICK, "-o", tmp_path)
    done = run("transcribe", wav_files["tone"], *options, "--flag-risk", "0.5")
    assert done.exit_code == 1 and "leave --flag_risk out" in done.output


def test_flags_need_steering(wav_files: dict[str, Path]) -> None:
    done = run("transcribe", wav_files["tone"], "--steering", "none", "--flag-risk", "0.5")
    assert done.exit_code == 2 and "needs steering" in done.output


def test_signs_are_what_their_names_say() -> None:
    segment = {
        "start": 0.04, "end": 0.12, "text": "ab", "no_speech_prob": 0.5, "avg_logprob": -0.3, "compression_ratio": 1.2
    }  # fmt: skip
    hearing = Hearing(np.array([9.0, 1.0, 3.0, 9.0], np.float32), 0.0, 0.16)
    found = dict(zip(SIGNS, signs(segment, hearing, tuple(SIGNS)), strict=True))
    assert (found["strongest evidence"], found["mean evidence"], found["no_speech_prob"]) == (3.0, 2.0, 0.0)
    assert found["letters per second"] == pytest.approx(np.log1p(20)) and found["avg_logprob"] == -0.3
