"""One recording, one artifact, three runtimes: the same gate decisions and the same text, or the artifact is no use."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from conftest import TINY
from helpers import make_artifact
from whisper.model import Whisper

from whisper_steer.cli import main
from whisper_steer.cli.backends.transformers import place_in_window
from whisper_steer.gate.kinds import Gate
from whisper_steer.models.load import load_model
from whisper_steer.runtimes.openai import transcribe
from whisper_steer.steer.steering import Steering

pytest.importorskip("transformers")

END = 50256
BACKENDS = ["openai", "faster", "transformers"]
QUICK = ["--temperature_increment_on_fallback", "None", "--logprob_threshold", "None", "--verbose", "False"]
QUICK += ["--compression_ratio_threshold", "None", "--no_speech_threshold", "None", "--beam_size", "1"]
QUICK += ["--condition_on_previous_text", "False"]


@pytest.fixture(scope="module")
def long_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint that ends after ten tokens, with room for the 448 that faster-whisper takes for granted."""
    dims = replace(TINY, n_text_ctx=448)
    generator = torch.random.manual_seed(0)
    model = Whisper(dims)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.2, generator=generator)
        model.decoder.positional_embedding[:, 0] = -50.0
        model.decoder.positional_embedding[10:, 0] = 50.0
        model.decoder.token_embedding.weight[:, 0] = 0.0
        model.decoder.token_embedding.weight[END] = 0.0
        model.decoder.token_embedding.weight[END, 0] = 20.0
        model.decoder.ln.weight[0] = 1.0
    path = tmp_path_factory.mktemp("models") / "tiny-long.pt"
    torch.save({"dims": asdict(dims), "model_state_dict": model.half().state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 s of loud noise, then 30 s of a tone."""
    path = tmp_path_factory.mktemp("audio") / "mixed.wav"
    noise = 0.2 * np.random.default_rng(0).standard_normal(30 * 16000)
    tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(30 * 16000) / 16000)
    soundfile.write(path, np.concatenate([noise, tone]), 16000)
    return path


@pytest.fixture(scope="module")
def artifact(long_path: Path, recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its gate takes the louder evidence of the two windows for speech, and nearly all of that window's frames."""
    model = load_model(long_path, "cpu")
    made = make_artifact(model.encoder, threshold=-1e9, hook_point="ln_post")
    weight = torch.randn(32, generator=torch.Generator().manual_seed(2))
    made.gate = Gate(weight, torch.tensor(0.0), torch.zeros(32))
    options: dict[str, Any] = {"temperature": 0.0, "fp16": False, "sample_len": 1, "without_timestamps": True}
    windows = transcribe(model, recording, steering=Steering(made), **options)["steering"]["windows"]
    low, high = sorted(window["evidence"] for window in windows)
    assert high - low > 0.05
    made.speech_scores = torch.full((400,), low + 0.02)
    made.nonspeech_scores = made.speech_scores.clone()
    return made.save(tmp_path_factory.mktemp("artifacts") / "by-hand")


def run(recording: Path, out: Path, *options: object) -> tuple[int, str]:
    command = ["transcribe", recording, *QUICK, "--output_dir", out, "--output_format", "json", *options]
    result = CliRunner().invoke(main, [str(part) for part in command])
    return result.exit_code, result.output


def written(out: Path) -> dict[str, Any]:
    return json.loads((out / "mixed.json").read_text(encoding="utf-8"))


def test_three_backends_agree(long_path: Path, artifact: Path, recording: Path, tmp_path: Path) -> None:
    results = {}
    for backend in BACKENDS:
        extra = [] if backend == "openai" else ["--compute_type", "float32"]
        code, output = run(
            recording,
            tmp_path / backend,
            "--model",
            long_path,
            "--steering",
            artifact,
            "--backend",
            backend,
            *extra,
        )
        assert code == 0, output
        results[backend] = written(tmp_path / backend)
    stock = results["openai"]
    for each in results.values():
        assert {w["action"] for w in each["steering"]["windows"]} == {"untouched", "skipped"}
    evidence = {name: [w["evidence"] for w in each["steering"]["windows"]] for name, each in results.items()}
    for name in ("faster", "transformers"):
        assert evidence[name][0] == pytest.approx(evidence["openai"][0], abs=2e-3)
        assert results[name]["text"] == stock["text"] != ""
        assert results[name]["segments"][0]["start"] == pytest.approx(stock["segments"][0]["start"], abs=0.02)
        assert results[name]["segments"][0]["steering"]["action"] == "untouched"


@pytest.mark.parametrize("vad", ["True", "False"])
def test_batched_with_and_without_silero(
    long_path: Path, artifact: Path, recording: Path, tmp_path: Path, vad: str
) -> None:
    options = ["--backend", "faster", "--batched", "True", "--vad_filter", vad, "--batch_size", 4]
    code, output = run(recording, tmp_path, "--model", long_path, "--steering", artifact, *options)
    assert code == 0, output
    windows = written(tmp_path)["steering"]["windows"]
    if vad == "False":  # two windows of 30 s, of which one is spoken
        assert sorted(window["action"] for window in windows) == ["skipped", "untouched"]
    else:  # Silero hears no speech at all
        assert windows == []


def test_options_that_a_runtime_lacks_are_refused(long_path: Path, recording: Path, tmp_path: Path) -> None:
    for options, named in (
        (["--batched", "True"], "--batched does not go with --backend openai"),
        (
            ["--backend", "transformers", "--word_timestamps", "True"],
            "--word_timestamps is not in transformers",
        ),
        (["--backend", "transformers", "--batched", "True"], "--backend faster"),
        (["--backend", "transformers", "--compute_type", "int8"], "--compute_type int8"),
        (
            ["--backend", "faster", "--carry_initial_prompt", "True"],
            "--carry_initial_prompt is not in faster",
        ),
        (["--backend", "faster", "--auto_fit"], "--auto_fit goes with --backend openai"),
    ):
        none = [] if "--auto_fit" in options else ["--steering", "none"]
        code, output = run(recording, tmp_path, "--model", long_path, *none, *options)
        assert (code, named in output) == (2, True), output


def test_a_missing_package_is_named(
    long_path: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    code, output = run(
        recording, tmp_path, "--model", long_path, "--steering", "none", "--backend", "transformers"
    )
    assert (code, output.strip().splitlines()[-1]) == (
        1,
        "Error: this needs the package transformers: pip install 'whisper-steer[transformers]'",
    )


def test_a_segment_is_placed_as_openai_whisper_places_it() -> None:
    """Closed by a timestamp, cut off, and one that starts with its window whatever its first timestamp says."""
    first = 50363
    assert place_in_window([first + 50, 7, first + 150], 2.0, first) == pytest.approx((1.0, 3.0))
    assert place_in_window([first + 50, 7], 2.0, first) == pytest.approx((1.0, 3.0))
    assert place_in_window([first + 50, 7, first + 150], 3.0, first) == pytest.approx((0.0, 3.0))
    assert place_in_window([7], 4.0, first) == (0.0, 4.0)
