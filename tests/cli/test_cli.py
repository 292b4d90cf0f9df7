"""If these fail, a command is missing, steering does not act from the command line, or nobody sees what it is."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import whisper
import whisper.audio
from helpers import ALWAYS_OPEN, QUICK, contents, make_artifact, run
from whisper.model import Whisper

from whisper_steer.cli import COMMANDS, main
from whisper_steer.cli.common import where_speech_is


def test_help_is_there_without_torch() -> None:
    code = "import sys\nfrom whisper_steer.cli import main\nmain(['--help'], standalone_mode=False)\n"
    code += "main(['transcribe', '--help'], standalone_mode=False)\n"
    code += "main(['listen', '--help'], standalone_mode=False)\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in COMMANDS)
    assert "--hallucination_silence_threshold" in done.stdout
    assert "--longest" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name: str) -> None:
    assert run(name, "--help").exit_code == 0


def test_steering_acts_and_says_so(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    args = [
        "transcribe",
        wav_files["tone"],
        "--model",
        tiny_path,
        *QUICK,
        "--repetition-guard",
        "off",
        "-o",
        tmp_path,
    ]
    results = {}
    for name, steering in {"none": "none", **artifacts}.items():
        done = run(*args, "--steering", steering)
        assert done.exit_code == 0
        assert ("tone.wav: no speech in 2 s" in done.stderr) == (name == "open")
        results[name] = json.loads((tmp_path / "tone.json").read_text())
    assert results["open"]["text"] == ""
    assert results["open"]["segments"] == []
    assert results["open"]["steering"]["spans"] == []
    (span,) = results["shut"]["steering"]["spans"]
    assert (span["start"], span["end"]) == (0.0, 2.0)
    assert results["shut"]["text"] == results["none"]["text"] != ""
    assert "steering" not in results["none"]
    for with_steering, stock in zip(results["shut"]["segments"], results["none"]["segments"], strict=True):
        assert with_steering.pop("steering")["evidence"] > -1e9
        assert with_steering == stock


def test_where_speech_is_is_said_in_words() -> None:
    spans = [{"start": 1.0, "end": 11.0}, {"start": 20.0, "end": 51.2}]
    assert where_speech_is(120.0, spans) == "speech in 2 spans, 41 of 120 s"
    assert where_speech_is(120.0, spans[:1]) == "speech in 1 span, 10 of 120 s"
    assert where_speech_is(120.4, []) == "no speech in 120 s"
    assert where_speech_is(0.5, []) == "no speech in 0.5 s"


def test_mode_method_and_promise_are_handed_on(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    options = ["--mode", "steer", "--method", "mean-difference", "--max-suppressed-speech", "0.02"]
    args = [wav_files["tone"], "--model", tiny_path, *QUICK, "-o", tmp_path, "--steering", artifacts["open"]]
    assert run("transcribe", *args, *options).exit_code == 0
    steering = json.loads((tmp_path / "tone.json").read_text())["steering"]
    found = (steering["mode"], steering["method"], steering["max_suppressed_speech"])
    assert found == ("steer", "mean-difference", 0.02)


def test_a_model_without_steering_names_the_remedies(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path]
) -> None:
    done = run("transcribe", wav_files["tone"], "--model", tiny_path, "-o", tmp_path)
    assert done.exit_code == 1
    assert "--auto-fit" in done.stderr
    assert f"whisper-steer fit {tiny_path}" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert contents(tmp_path) == {}


def test_auto_fit_makes_what_the_next_run_finds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path]
) -> None:
    """The fit itself takes minutes and has tests of its own; here it is replaced by an artifact made by hand."""
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path / "cache"))
    fits = []

    def fit(model: Whisper, name: str) -> Path:
        fits.append(name)
        return make_artifact(model.encoder, threshold=ALWAYS_OPEN).save(
            tmp_path / "cache" / "steering" / name
        )

    monkeypatch.setattr("whisper_steer.fit.auto.auto_fit", fit)
    args = ["transcribe", wav_files["tone"], "--model", tiny_path, "-o", tmp_path, "-f", "txt"]
    assert run(*args, "--auto-fit").exit_code == 0
    assert run(*args, "--auto-fit").exit_code == 0
    assert run(*args).exit_code == 0
    assert fits == ["tiny-random"]
    assert (tmp_path / "tone.txt").read_text() == ""


def test_models_lists_names_sources_and_steering(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path))
    shutil.copytree(artifacts["open"], tmp_path / "steering" / "open")
    content = b"x" * 2_000_000
    (tmp_path / "large-v3-turbo.pt").write_bytes(content)
    url = f"https://example.org/{hashlib.sha256(content).hexdigest()}/large-v3-turbo.pt"
    monkeypatch.setitem(whisper._MODELS, "turbo", url)
    done = run("models", "--model-dir", tmp_path)
    assert done.exit_code == 0
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert set(whisper.available_models()) <= set(rows)
    assert "2 MB" in rows["turbo"] and "809 M" in rows["turbo"]
    assert "2 MB" not in rows["tiny"] and "39 M" in rows["tiny"]
    assert "download" in rows["tiny"]
    assert str(tmp_path / "steering" / "open") in rows["by-hand"]
    card = json.loads((tmp_path / "steering" / "open" / "card.json").read_text())
    (tmp_path / "steering" / "open" / "card.json").write_text(json.dumps({**card, "schema": 1}))
    assert "of another version: fit it again" in run("models", "--model-dir", tmp_path).stdout


def test_inspect_shows_what_an_artifact_is(artifacts: dict[str, Path], tiny_model: Whisper) -> None:
    done = run("inspect", artifacts["open"])
    assert done.exit_code == 0
    expected = make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN)
    for part in (
        "by-hand",
        expected.fingerprint,
        "blocks.1",
        "400 held-out utterances",
        "logistic on 4 SAE latents",
        "40",
        "selected_by  hand",
    ):
        assert part in done.stdout


def test_inspect_as_json_has_thresholds_only_for_promises_that_can_be_kept(
    artifacts: dict[str, Path],
) -> None:
    card = json.loads(run("inspect", artifacts["open"], "--json").stdout)
    assert card["name"] == "by-hand"
    promises = [row["max_suppressed_speech"] for row in card["thresholds"]]
    assert promises == [0.005, 0.01, 0.02, 0.05]  # 400 utterances carry no promise below 1 / 401
    assert all(row["threshold"] <= row["conformal"] for row in card["thresholds"])
    assert all(0 <= row["speech_lost"] <= row["max_suppressed_speech"] for row in card["thresholds"])


@pytest.mark.parametrize(("damage", "code"), [("missing", 2), ("card", 1), ("tensors", 1)])
def test_inspect_of_no_artifact(tmp_path: Path, tiny_model: Whisper, damage: str, code: int) -> None:
    path = tmp_path / "artifact"
    if damage != "missing":
        make_artifact(tiny_model.encoder, threshold=0.0).save(path)
    if damage == "card":
        (path / "card.json").write_text("{")
    if damage == "tensors":
        (path / "steering.safetensors").write_bytes((path / "steering.safetensors").read_bytes()[:100])
    done = run("inspect", path)
    assert (done.exit_code, len(done.stderr.splitlines())) == (code, 1)


def test_library_errors_keep_their_exit_codes() -> None:
    done = run("inspect", "no-such-artifact")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: no steering artifact at no-such-artifact")
    assert isinstance(main, click.Group)
