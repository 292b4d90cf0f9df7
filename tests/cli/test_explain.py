"""If these fail, whoever asks why something was or was not transcribed gets no answer, or one from elsewhere."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers import make_artifact, run
from whisper.model import Whisper

import whisper_steer
from whisper_steer.audio.load import load_audio
from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.explain.names import Names

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def labelled(folder: Path) -> Path:
    """Tones and noises, eight of each in each split."""
    rng, rows = np.random.default_rng(0), []
    t = np.arange(24000) / 16000
    for split in ("fit", "choose", "test"):
        for i in range(8):
            for label, samples in (
                ("tone", np.sin(2 * np.pi * float(rng.uniform(400, 500)) * t)),
                ("noise", rng.standard_normal(24000)),
            ):
                name = f"{label}-{split}-{i}.wav"
                soundfile.write(folder / name, 0.1 * samples, 16000)
                row = {"path": name, "kind": "nonspeech", "split": split, "seconds": 1.5, "label": label}
                rows.append(row | {"group": f"{label}{split}{i}"})
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory, tiny_model: Whisper, tiny_path: Path) -> Path:
    """An artifact of the random model, made to hear speech in all of it, its latents named by the command."""
    folder = tmp_path_factory.mktemp("named")
    manifest = labelled(folder)
    fitted = make_artifact(tiny_model.encoder, threshold=-1e9)
    sounds = [load_audio(folder / f"{label}-fit-0.wav") for label in ("tone", "noise")]
    hidden = [Prefix(tiny_model.encoder, "blocks.1")(window_mel(sound)[None])[0, :75] for sound in sounds]
    assert fitted.sae is not None
    fitted.sae.mean.copy_(torch.cat(hidden).mean(dim=0))  # so that random directions tell sounds apart
    artifact = fitted.save(folder / "artifact")
    done = run("name-latents", artifact, "--manifest", manifest, "--model", tiny_path)
    assert done.exit_code == 0, done.stderr
    assert re.search(r"sound +tone +\d+ latents, precision up to (0\.[5-9]|1\.0)", done.stdout)
    everything = re.search(r"^all: 16 clips, ([\d.]+)%", done.stdout, re.M)
    assert everything and float(everything[1]) > 50  # by a random encoder, in windows of any filling
    return artifact


def test_the_command_says_what_is_heard(
    tmp_path: Path, tiny_path: Path, named: Path, wav_files: dict[str, Path]
) -> None:
    """By text, JSON and a page that needs nothing from elsewhere."""
    files = [wav_files["tone"], wav_files["noise"]]
    done = run(
        "explain", *files, "--model", tiny_path, "--device", "cpu", "--steering", named, "-o", tmp_path
    )
    assert done.exit_code == 0, done.stderr
    for name in ("tone", "noise"):
        content = json.loads((tmp_path / f"{name}.explain.json").read_text())
        (stretch,) = content["stretches"]
        assert (stretch["start"], stretch["end"], stretch["speech"]) == (0.0, 2.0, True)
        assert stretch["heard"][0]["name"] == name
        assert stretch["stock"] and stretch["written"]  # this model babbles on anything
        assert f"heard: {name} (" in done.stdout
        page = (tmp_path / f"{name}.explain.html").read_text()
        assert "{{" not in page and not re.findall(r"(?:src|href)=['\"](?!data:|#)", page)
        assert page.count("data:image/png") == page.count("data:audio/ogg") == 1


def test_what_spoke_for_and_against_is_told(tmp_path: Path, tiny_model: Whisper, named: Path) -> None:
    """The weights are there because the SAE lies where the gate listens."""
    found = whisper_steer.transcribe(
        tiny_model, np.tile(np.sin(np.arange(32000) / 5).astype(np.float32), 2), steering=named, explain=True,
        temperature=0.0, fp16=False, logprob_threshold=None, compression_ratio_threshold=None, no_speech_threshold=None,
    )  # fmt: skip
    because = [reason for segment in found["segments"] for reason in segment["steering"]["because"]]
    assert because and {*because[0]} == {"latent", "name", "precision", "heard", "weight"}
    assert all(isinstance(reason["weight"], float) for reason in because)
    json.dumps(found["segments"])


def test_nothing_is_computed_when_nobody_asks(
    tiny_model: Whisper, named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(named, bare)
    for name in ("names.json", "names.safetensors"):
        (bare / name).unlink()
    samples = np.sin(np.arange(32000) / 5).astype(np.float32)
    options = {"temperature": 0.0, "fp16": False, "no_speech_threshold": None, "logprob_threshold": None}
    options |= {"repetition_guard": False}
    monkeypatch.setattr(Names, "load", pytest.fail)
    plain = whisper_steer.transcribe(tiny_model, samples, steering=bare, **options)
    assert all({*segment["steering"]} == {"evidence"} for segment in plain["segments"])
    monkeypatch.undo()
    with pytest.raises(ArtifactError, match="name-latents"):
        whisper_steer.transcribe(tiny_model, samples, steering=bare, explain=True, **options)
    with pytest.raises(UsageError, match="needs steering"):
        whisper_steer.transcribe(tiny_model, samples, steering=None, explain=True, **options)


def test_wrong_usage_ends_with_two_and_a_remedy(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    tone = wav_files["tone"]
    done = run("explain", tone, "--steering", "none")
    assert (done.exit_code, "leave --steering out" in done.stderr) == (2, True)
    done = run("explain", tone, "--model", tiny_path, "--steering", artifacts["shut"], "-o", tmp_path)
    assert (done.exit_code, "name-latents" in done.stderr) == (1, True)
    torch.save({}, tmp_path / "x")
    done = run("name-latents", artifacts["shut"], "--manifest", tmp_path / "x", "--sae", tmp_path / "x")
    assert (done.exit_code, "go together" in done.stderr) == (2, True)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_page_renders(tmp_path: Path, tiny_path: Path, named: Path, wav_files: dict[str, Path]) -> None:
    run("explain", wav_files["tone"], "--model", tiny_path, "--steering", named, "-o", tmp_path)
    page, flags = (
        tmp_path / "tone.explain.html",
        ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"],
    )
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    dump = subprocess.run(
        [str(CHROMIUM), *flags, profile, "--dump-dom", page.as_uri()],
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    ).stdout
    assert "tone (" in dump
