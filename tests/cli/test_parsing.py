"""If these fail, a command line that openai-whisper or whisper-ctranslate2 takes is refused, or means another thing."""

from __future__ import annotations

from typing import Any

import click
import pytest
from helpers import run

from whisper_steer.cli.parsing import spelled_out
from whisper_steer.cli.transcribe import transcribe

OPTIONS: dict[str, click.Option] = {
    name: param for param in transcribe.params if isinstance(param, click.Option) for name in param.opts
}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["--lang", "en", "a.wav"], ["--language", "en", "a.wav"]),
        (["--lang=en", "a.wav"], ["--language=en", "a.wav"]),
        (
            ["--compute-type", "int8", "--batched", "a.wav"],
            ["--compute_type", "int8", "--batched", "True", "a.wav"],
        ),
        (["--batched", "False", "a.wav"], ["--batched", "False", "a.wav"]),
        (["a.wav", "--word"], ["a.wav", "--word_timestamps", "True"]),
        (["-p", "a.wav", "-o", "out"], ["-p", "True", "a.wav", "-o", "out"]),
        (["--auto-fit", "a.wav"], ["--auto_fit", "a.wav"]),
        (["--initial_prompt", "--lang", "a.wav"], ["--initial_prompt", "--lang", "a.wav"]),
        (["--", "--lang", "en"], ["--", "--lang", "en"]),
        (["--nothing", "-"], ["--nothing", "-"]),
    ],
)
def test_arguments_are_spelled_out(given: list[str], read: list[str]) -> None:
    assert spelled_out(given, OPTIONS) == read


def test_a_beginning_of_several_names_is_told_in_one_line() -> None:
    done = run("transcribe", "a.wav", "--vad", "1")
    assert done.exit_code == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert line.startswith(
        "Error: --vad is ambiguous: it could be --vad_filter, --vad_max_speech_duration_s, "
    )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--hotwords", "a"], "--hotwords does not go with --backend openai: take --backend faster"),
        (["--backend", "transformers", "--prefix", "a"], "--prefix does not go with --backend transformers"),
        (["--backend", "faster", "--vad_onset", "0.3"], "--vad_onset needs --vad_filter True"),
        (["--backend", "faster", "--model", "a", "--model_directory", "b"], "--model and --model_directory"),
        (["--print_colors", "--verbose", "False"], "--print_colors goes neither"),
        (["--backend", "transformers", "--print_colors"], "--print_colors needs words' probabilities"),
    ],
)
def test_options_that_do_not_go_together_are_told(options: list[Any], named: str) -> None:
    done = run("transcribe", "a.wav", *options)
    assert (done.exit_code, named in done.stderr) == (2, True), done.stderr
