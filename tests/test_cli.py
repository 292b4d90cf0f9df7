"""If these fail, a `whisper` command line means something else here, or one bad file or key press costs a run."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import soundfile
import torch
import whisper
import whisper.audio
from click.testing import CliRunner, Result
from helpers import ALWAYS_OPEN, ALWAYS_SHUT, make_artifact
from whisper.model import Whisper

from whisper_steer.audio import load_audio
from whisper_steer.cli import COMMANDS, main
from whisper_steer.cli.options import STOCK

stock_command = importlib.import_module("whisper.transcribe")  # the package has a function of that name
ONCE = ("--temperature_increment_on_fallback", "None")
QUICK = ("--beam_size", "None", *ONCE)
WORDS = (*QUICK, "--word_timestamps", "True", "--clip_timestamps", "0,0.4")
FILES = {"tone.json", "tone.srt", "tone.tsv", "tone.txt", "tone.vtt"}


def run(*args: str | Path, stdin: bytes | None = None) -> Result:
    torch.manual_seed(0)
    return CliRunner().invoke(main, [str(a) for a in args], input=stdin)


def run_stock(monkeypatch: pytest.MonkeyPatch, *args: str | Path) -> None:
    """openai-whisper's own command in this process; its ffmpeg binary is replaced by our reader."""
    torch.manual_seed(0)
    monkeypatch.setattr(whisper.audio, "load_audio", load_audio)
    monkeypatch.setattr(sys, "argv", ["whisper", *(str(a) for a in args)])
    stock_command.cli()


def contents(folder: Path) -> dict[str, Any]:
    """File name -> text, or what the JSON says: a temperature may be 0 or 0.0, NaN is a word."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    return {
        name: json.loads(text, parse_constant=str) if name.endswith(".json") else text
        for name, text in texts.items()
    }


def test_help_is_there_without_torch() -> None:
    code = "import sys\nfrom whisper_steer.cli import main\nmain(['--help'], standalone_mode=False)\n"
    code += "main(['transcribe', '--help'], standalone_mode=False)\nassert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in COMMANDS)
    assert "--hallucination_silence_threshold" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_table_says(name: str) -> None:
    assert run(name, "--help").exit_code == 0


# ---- the options of the whisper command


@pytest.fixture(scope="session")
def stock_parser() -> argparse.ArgumentParser:
    """The parser that openai-whisper builds inside its `cli`."""
    caught: list[argparse.ArgumentParser] = []

    class Caught(Exception):
        pass

    def catch(parser: argparse.ArgumentParser) -> None:
        caught.append(parser)
        raise Caught

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Caught):
        patch.setattr(argparse.ArgumentParser, "parse_args", catch)
        stock_command.cli()
    return caught[0]


def test_names_and_defaults_are_those_of_stock(stock_parser: argparse.ArgumentParser) -> None:
    theirs = {a.dest: a.default for a in stock_parser._actions if a.dest not in ("help", "audio")}
    ours = {names.split()[0]: default for names, _, default, _ in STOCK}
    assert list(ours) == list(theirs)
    assert {k: v for k, v in ours.items() if k != "device"} == {
        k: v for k, v in theirs.items() if k != "device"
    }


OTHER_VALUES = {
    "task": "translate",
    "temperature": "0.3",
    "best_of": "3",
    "beam_size": "2",
    "patience": "1.5",
    "length_penalty": "0.4",
    "suppress_tokens": "1,2,3",
    "initial_prompt": "hello there",
    "carry_initial_prompt": "True",
    "condition_on_previous_text": "False",
    "temperature_increment_on_fallback": "0.5",
    "compression_ratio_threshold": "1.9",
    "logprob_threshold": "-0.5",
    "no_speech_threshold": "0.2",
    "word_timestamps": "True",
    "prepend_punctuations": "(",
    "append_punctuations": ")",
    "clip_timestamps": "0,1",
    "hallucination_silence_threshold": "2",
    "verbose": "False",
}
NONE = {
    "best_of": "None",
    "beam_size": "None",
    "temperature_increment_on_fallback": "None",
    "compression_ratio_threshold": "None",
    "logprob_threshold": "None",
    "no_speech_threshold": "None",
    "hallucination_silence_threshold": "None",
}


def given_to_transcribe(
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], object], module: Any
) -> dict[str, Any]:
    """The options with which a command calls openai-whisper's `transcribe`."""
    calls: list[dict[str, Any]] = []

    def record(_model: Whisper, _audio: object, **options: Any) -> dict[str, Any]:
        calls.append(options)
        return {"text": "", "segments": [], "language": "en"}

    monkeypatch.setattr(module, "transcribe", record)
    call()
    (options,) = calls
    temperature = options["temperature"]
    options["temperature"] = tuple(float(t) for t in np.atleast_1d(temperature))
    return options


@pytest.mark.parametrize("values", [{}, OTHER_VALUES, NONE], ids=["defaults", "other values", "None"])
@pytest.mark.parametrize("dashes", [False, True])
def test_every_option_reaches_transcribe_as_in_stock(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny_path: Path,
    wav_files: dict[str, Path],
    values: dict[str, str],
    dashes: bool,
) -> None:
    args = [
        wav_files["tone"],
        "--model",
        tiny_path,
        "--output_dir",
        tmp_path,
        "--device",
        "cpu",
        "--fp16",
        "False",
    ]
    args += ["--language", "en"]
    for key, value in values.items():
        args += [f"--{key}", value]
    theirs = given_to_transcribe(monkeypatch, lambda: run_stock(monkeypatch, *args), stock_command)
    if dashes:
        args = [a.replace("_", "-") if str(a).startswith("--") else a for a in map(str, args)]
    ours = given_to_transcribe(monkeypatch, lambda: run("transcribe", *args, "--steering", "none"), whisper)
    assert ours == theirs
    assert set(OTHER_VALUES) <= set(ours) | {"temperature_increment_on_fallback"}


@pytest.mark.parametrize(
    "options",
    [
        ONCE,
        (*ONCE, "--temperature", "0.6", "--best_of", "2", "--no_speech_threshold", "None"),
        (*QUICK, "--clip_timestamps", "0.5,2", "--initial_prompt", "so", "--suppress_tokens", "11,13"),
        (*WORDS, "--max_line_width", "20", "--max_line_count", "1"),
        (
            *QUICK,
            "--word_timestamps",
            "True",
            "--highlight_words",
            "True",
            "--hallucination_silence_threshold",
            "1",
        ),
        (*QUICK, "--no_speech_threshold", "0", "--logprob_threshold", "None"),
    ],
)
def test_outputs_equal_those_of_stock(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    tiny_path: Path,
    wav_files: dict[str, Path],
    options: tuple[str, ...],
) -> None:
    args = [wav_files["chirp"], "--model", tiny_path, "--device", "cpu", "--fp16", "False", *options]
    run_stock(monkeypatch, *args, "-o", tmp_path / "stock")
    ours = run("transcribe", *args, "-o", tmp_path / "ours", "--steering", "none")
    assert ours.exit_code == 0, ours.output
    assert contents(tmp_path / "ours") == contents(tmp_path / "stock")
    assert len(contents(tmp_path / "ours")) == 5


def test_a_multilingual_model_detects_and_translates_as_stock(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, multilingual_path: Path, wav_files: dict[str, Path]
) -> None:
    for options in ((), ("--language", "French", "--task", "translate")):
        args = [
            wav_files["tone"],
            "--model",
            multilingual_path,
            "--device",
            "cpu",
            "--fp16",
            "False",
            *QUICK,
            *options,
        ]
        run_stock(monkeypatch, *args, "-o", tmp_path / "stock")
        assert run("transcribe", *args, "-o", tmp_path / "ours", "--steering", "none").exit_code == 0
        assert contents(tmp_path / "ours") == contents(tmp_path / "stock")


# ---- steering


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory, tiny_model: Whisper) -> dict[str, Path]:
    """Two artifacts for the random model: by one no window has speech, by the other each has."""
    folder = tmp_path_factory.mktemp("artifacts")
    thresholds = {"open": ALWAYS_OPEN, "shut": ALWAYS_SHUT}
    return {k: make_artifact(tiny_model.encoder, threshold=t).save(folder / k) for k, t in thresholds.items()}


def test_steering_acts_and_says_so(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    args = ["transcribe", wav_files["tone"], "--model", tiny_path, *QUICK, "-o", tmp_path]
    results = {}
    for name, steering in {"none": "none", **artifacts}.items():
        done = run(*args, "--steering", steering)
        assert done.exit_code == 0
        assert ("no speech in 1 of 1 windows" in done.stderr) == (name == "open")
        results[name] = json.loads((tmp_path / "tone.json").read_text())
    assert results["open"]["text"] == ""
    assert results["open"]["segments"] == []
    assert [window["action"] for window in results["open"]["steering"]["windows"]] == ["skipped"]
    assert results["shut"]["text"] == results["none"]["text"] != ""
    assert "steering" not in results["none"]
    for with_steering, stock in zip(results["shut"]["segments"], results["none"]["segments"], strict=True):
        assert with_steering.pop("steering")["action"] == "untouched"
        assert with_steering == stock


def test_mode_method_and_promise_are_handed_on(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    options = ["--mode", "steer", "--method", "scaled-additive", "--max-suppressed-speech", "0.02"]
    args = [wav_files["tone"], "--model", tiny_path, *QUICK, "-o", tmp_path, "--steering", artifacts["open"]]
    assert run("transcribe", *args, *options).exit_code == 0
    steering = json.loads((tmp_path / "tone.json").read_text())["steering"]
    found = (steering["mode"], steering["method"], steering["max_suppressed_speech"])
    assert found == ("steer", "scaled-additive", 0.02)


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
        return make_artifact(model.encoder, threshold=ALWAYS_OPEN).save(tmp_path / "cache" / name)

    monkeypatch.setattr("whisper_steer.fit.auto.auto_fit", fit)
    args = ["transcribe", wav_files["tone"], "--model", tiny_path, "-o", tmp_path, "-f", "txt"]
    assert run(*args, "--auto-fit").exit_code == 0
    assert run(*args, "--auto-fit").exit_code == 0
    assert run(*args).exit_code == 0
    assert fits == ["tiny-random"]
    assert (tmp_path / "tone.txt").read_text() == ""


# ---- what goes wrong


def test_a_bad_file_is_skipped_and_the_rest_goes_on(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    (tmp_path / "text.wav").write_text("hello\n")
    args = ["--model", tiny_path, "-o", tmp_path / "out", "--steering", artifacts["open"], "-f", "txt"]
    done = run(
        "transcribe",
        tmp_path / "gone.wav",
        wav_files["tone"],
        tmp_path / "text.wav",
        wav_files["noise"],
        *args,
    )
    assert done.exit_code == 1
    first, _, second, _ = done.stderr.splitlines()
    assert first.startswith(f"Skipping {tmp_path / 'gone.wav'}: ")
    assert second.startswith(f"Skipping {tmp_path / 'text.wav'}: ")
    assert set(contents(tmp_path / "out")) == {"tone.txt", "noise.txt"}


@pytest.mark.parametrize("seconds", [0.01, 0.0])
def test_very_short_recordings(
    tmp_path: Path, tiny_path: Path, artifacts: dict[str, Path], seconds: float
) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(int(16000 * seconds), 0.1), 16000)
    args = ["transcribe", tmp_path / "a.wav", "--model", tiny_path, "-o", tmp_path / "out", *QUICK]
    for steering in ("none", artifacts["shut"]):
        done = run(*args, "--steering", steering)
        assert done.exit_code == (0 if seconds else 1)
        assert len(done.stderr.splitlines()) == (0 if seconds else 1)


def test_stdin(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    args = [
        "transcribe",
        "--model",
        tiny_path,
        "-o",
        tmp_path,
        "--steering",
        artifacts["shut"],
        *QUICK,
        "-f",
        "json",
    ]
    assert run(*args, wav_files["tone"]).exit_code == 0
    assert run(*args, "-", stdin=wav_files["tone"].read_bytes()).exit_code == 0
    assert (tmp_path / "stdin.json").read_bytes() == (tmp_path / "tone.json").read_bytes()
    assert run(*args, "-", stdin=b"").exit_code == 1


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["a.wav", "--no_such_option", "1"],
        ["a.wav", "--beam_size", "many"],
        ["a.wav", "--beam_size", "None", "--patience", "2"],
        ["a.wav", "--output_format", "docx"],
        ["a.wav", "--language", "klingon"],
        ["a.wav", "--suppress_tokens", "1,a"],
        ["a.wav", "--clip_timestamps", "0;1"],
        ["a.wav", "--highlight_words", "True"],
        ["a.wav", "--mode", "sometimes"],
        ["a.wav", "--method", "clamp"],
        ["a.wav", "--steering", "none", "--mode", "steer"],
        ["a.wav", "--max_suppressed_speech", "1.5"],
        ["a.wav", "b/a.mp3"],
        ["a.wav", "--model", "tyni"],
        ["a.wav", "--model", "nano", "--device", "abacus"],
    ],
)
def test_wrong_usage_exits_2(tmp_path: Path, args: list[str]) -> None:
    done = run("transcribe", *args, "-o", tmp_path)
    assert done.exit_code == 2, done.output
    assert "Error: " in done.stderr
    assert done.stdout == ""


def test_a_broken_model_or_artifact_is_one_line(
    tmp_path: Path,
    tiny_path: Path,
    multilingual_path: Path,
    wav_files: dict[str, Path],
    artifacts: dict[str, Path],
) -> None:
    (tmp_path / "bad.pt").write_bytes(tiny_path.read_bytes()[:1000])
    args = ["transcribe", wav_files["tone"], "-o", tmp_path]
    for options in (
        ["--model", tmp_path / "bad.pt"],
        ["--model", multilingual_path, "--steering", artifacts["open"]],  # fitted on another encoder
    ):
        done = run(*args, *options)
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: ")
        assert len(done.stderr.splitlines()) == 1


def test_an_output_folder_that_cannot_be(tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path]) -> None:
    (tmp_path / "file").touch()
    done = run("transcribe", wav_files["tone"], "--model", tiny_path, "-o", tmp_path / "file" / "out")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)


def test_ctrl_c_leaves_finished_outputs_whole(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    """A real process and a real signal, while it waits for its second input."""
    out = tmp_path / "out"
    args = [wav_files["tone"], "-", "--model", tiny_path, "-o", out, "--steering", artifacts["shut"], *QUICK]
    command = [
        sys.executable,
        "-c",
        "from whisper_steer.cli import main; main()",
        "transcribe",
        *map(str, args),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (out / "tone.vtt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert process.stdin and process.stdout and process.stderr
    errors = process.stderr.read().decode()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "Error: interrupted"
    assert "Traceback" not in errors
    assert set(contents(out)) == FILES
    assert json.loads((out / "tone.json").read_text())["segments"]


# ---- models and inspect


def test_models_lists_names_files_and_steering(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(artifacts["open"].parent))
    (tmp_path / "large-v3-turbo.pt").write_bytes(b"x" * 2_000_000)
    done = run("models", "--model-dir", tmp_path)
    assert done.exit_code == 0
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert {*whisper.available_models(), "nano"} <= set(rows)
    assert "2 MB" in rows["turbo"] and "809 M" in rows["turbo"]
    assert "2 MB" not in rows["tiny"] and "39 M" in rows["tiny"]
    assert str(artifacts["shut"].parent) in rows["by-hand"]


def test_inspect_shows_what_an_artifact_is(artifacts: dict[str, Path], tiny_model: Whisper) -> None:
    done = run("inspect", artifacts["open"])
    assert done.exit_code == 0
    expected = make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN)
    for part in (
        "by-hand",
        expected.fingerprint,
        "blocks.1",
        "400 held-out windows",
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
    assert promises == [0.005, 0.01, 0.02, 0.05]  # 400 windows carry no promise below 1 / 401


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
