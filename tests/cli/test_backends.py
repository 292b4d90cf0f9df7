"""One recording, one artifact, three runtimes: the same spans and the same text, or the artifact is no use."""

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

from whisper_steer.audio.load import load_audio
from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.cli import main
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.gate.kinds import Linear, steps_of
from whisper_steer.models.load import load_model
from whisper_steer.sae.model import normalise

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
    """Its gate takes the noise for speech."""
    encoder = load_model(long_path, "cpu").encoder
    made = make_artifact(encoder, threshold=0.0, hook_point="ln_post")
    prefix = Prefix(encoder, "ln_post")
    audio = np.split(load_audio(recording), 2)
    noise, tone = (
        normalise(steps_of(prefix(window_mel(half)[None]))[0], torch.zeros(32))[0].mean(dim=0)
        for half in audio
    )
    weight = noise - tone
    made.gate = Linear(torch.zeros(32), weight, -(noise + tone) @ weight / 2)
    return made.save(tmp_path_factory.mktemp("artifacts") / "by-hand")


def run(recording: Path, out: Path, *options: object) -> tuple[int, str]:
    command = ["transcribe", recording, *QUICK, "--output_dir", out, "--output_format", "json", *options]
    result = CliRunner().invoke(main, [str(part) for part in command])
    return result.exit_code, result.output


def written(out: Path) -> dict[str, Any]:
    return json.loads((out / "mixed.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("clips", [(), ("--clip_timestamps", "10,20,25,50")])
def test_three_backends_agree(
    long_path: Path, artifact: Path, recording: Path, tmp_path: Path, clips: tuple[str, ...]
) -> None:
    results = {}
    for backend in BACKENDS:
        extra = [] if backend == "openai" else ["--compute_type", "float32"]
        options = ["--model", long_path, "--steering", artifact, "--backend", backend, *extra, *clips]
        code, output = run(recording, tmp_path / backend, *options)
        assert code == 0, output
        results[backend] = written(tmp_path / backend)
    stock = results["openai"]
    (span,) = stock["steering"]["spans"]
    assert span["start"] == 0.0 and span["end"] == pytest.approx(30.5, abs=1.0)
    for name in ("faster", "transformers"):
        (found,) = results[name]["steering"]["spans"]
        assert found == pytest.approx(span, abs=2e-3)
        assert results[name]["text"] == stock["text"] != ""
        for ours, theirs in zip(results[name]["segments"], stock["segments"], strict=True):
            start = min(theirs["start"], span["end"])  # random weights may write times behind the speech
            assert min(ours["start"], span["end"]) == pytest.approx(start, abs=0.021)
            assert ours["steering"].keys() == theirs["steering"].keys() == {"evidence"}


@pytest.mark.parametrize("seconds", [0.005, 75.0])
def test_silence_is_an_empty_result(long_path: Path, artifact: Path, tmp_path: Path, seconds: float) -> None:
    """Also where it is too short for a frame."""
    quiet = tmp_path / "mixed.wav"
    soundfile.write(quiet, np.zeros(round(seconds * 16000)), 16000)
    options = ["--model", long_path, "--steering", artifact, "--backend", "transformers"]
    code, output = run(quiet, tmp_path / "out", *options)
    assert code == 0, output
    found = written(tmp_path / "out")
    assert (found["text"], found["segments"]) == ("", [])


@pytest.mark.parametrize("vad", ["True", "False"])
def test_batched_with_and_without_silero(
    long_path: Path, artifact: Path, recording: Path, tmp_path: Path, vad: str
) -> None:
    options = ["--backend", "faster", "--batched", "True", "--vad_filter", vad, "--batch_size", 4]
    code, output = run(recording, tmp_path, "--model", long_path, "--steering", artifact, *options)
    assert code == 0, output
    assert len(written(tmp_path)["steering"]["spans"]) == 1
    assert bool(written(tmp_path)["text"]) == (vad == "False")  # Silero hears no speech at all


def test_options_that_a_runtime_lacks_are_refused(long_path: Path, recording: Path, tmp_path: Path) -> None:
    for options, named in (
        (["--batched", "True"], "--batched does not go with --backend openai"),
        (
            ["--backend", "transformers", "--patience", "2", "--beam_size", "2"],
            "--patience is not in transformers",
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
