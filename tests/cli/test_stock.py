"""If these fail, a `whisper` command line means something else here."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
import whisper
import whisper.audio
from helpers import ONCE, QUICK, contents, run
from whisper.model import Whisper

from whisper_steer.audio.load import load_audio
from whisper_steer.cli.options import STOCK
from whisper_steer.cli.parsing import whole_name
from whisper_steer.cli.transcribe import transcribe
from whisper_steer.runtimes import openai as transcription

stock_command = importlib.import_module("whisper.transcribe")  # the package has a function of that name
WORDS = (*QUICK, "--word_timestamps", "True", "--clip_timestamps", "0,0.4")


def run_stock(monkeypatch: pytest.MonkeyPatch, *args: str | Path) -> None:
    """openai-whisper's own command in this process; its ffmpeg binary is replaced by our reader."""
    torch.manual_seed(0)
    monkeypatch.setattr(whisper.audio, "load_audio", load_audio)
    monkeypatch.setattr(sys, "argv", ["whisper", *(str(a) for a in args)])
    stock_command.cli()


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
    other = {
        "device",
        "model",
    }  # the device is stock's, said otherwise; stock's model, turbo, has no steering
    assert {k: v for k, v in ours.items() if k not in other} == {
        k: v for k, v in theirs.items() if k not in other
    }
    assert ours["model"] is None


def test_a_beginning_that_is_enough_for_stock_is_enough_here(stock_parser: argparse.ArgumentParser) -> None:
    options = {n: p for p in transcribe.params if isinstance(p, click.Option) for n in p.opts}
    tried = 0
    for action in stock_parser._actions:
        name = action.option_strings[0] if action.option_strings else ""
        for length in range(3, len(name)):
            if len(stock_parser._get_option_tuples(name[:length])) == 1 and name != "--help":
                assert whole_name(name[:length], options) == name
                assert whole_name("--" + name[2:length].replace("_", "-"), options) == name
                tried += 1
    assert tried > 200


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
    monkeypatch: pytest.MonkeyPatch, call: Callable[[], object], module: Any, name: str
) -> dict[str, Any]:
    """The options with which a command calls openai-whisper's `transcribe`."""
    calls: list[dict[str, Any]] = []

    def record(_model: Whisper, _audio: object, **options: Any) -> dict[str, Any]:
        calls.append(options)
        return {"text": "", "segments": [], "language": "en"}

    monkeypatch.setattr(module, name, record)
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
    theirs = given_to_transcribe(
        monkeypatch, lambda: run_stock(monkeypatch, *args), stock_command, "transcribe"
    )
    if dashes:
        args = [a.replace("_", "-") if str(a).startswith("--") else a for a in map(str, args)]
    call = partial(run, "transcribe", *args, "--steering", "none")
    ours = given_to_transcribe(monkeypatch, call, transcription, "stock_loop")
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
