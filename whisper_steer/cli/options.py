"""The options of openai-whisper's command as click options: the same names, defaults and meanings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class OrNone(click.ParamType):  # type: ignore[type-arg]
    """Another type, or the word None."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind
        self.name = f"{kind.name}|None"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return None if value in (None, "None") else self.kind.convert(value, param, ctx)


class NumberList(click.ParamType):  # type: ignore[type-arg]
    """Numbers separated by commas; handed on as the text that it is."""

    name = "n,n,..."

    def __init__(self, kind: type[int] | type[float]) -> None:
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            for part in filter(None, str(value).split(",")):
                self.kind(part)
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers separated by commas", param, ctx)
        return str(value)


class Language(click.ParamType):  # type: ignore[type-arg]
    """A language's code or English name that Whisper knows, in any case."""

    name = "language"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | None:
        from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

        known = str(value).lower()
        if known == "none":
            return None
        if known not in LANGUAGES and known not in TO_LANGUAGE_CODE:
            self.fail(f"Whisper does not know {value!r}; it knows {', '.join(sorted(LANGUAGES))}", param, ctx)
        return str(value)


FORMATS = click.Choice(["txt", "vtt", "srt", "tsv", "json", "all"])
TASKS = click.Choice(["transcribe", "translate"])
COUNT = OrNone(click.IntRange(min=1))
NUMBER = OrNone(click.FLOAT)
POSITIVE = OrNone(click.FloatRange(min=0, min_open=True))
SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
PREPEND = "\"'“¿([{-"
APPEND = "\"'.。,，!！?？:：”)]}、"

MODEL = (
    "Name of a Whisper model, the path of a .pt, or a folder of the backend.  [default: base, or tiny.en where only "
    "that is on this machine; openai-whisper's own default, turbo, cannot be steered before a fit]"
)

STOCK: list[tuple[str, Any, Any, str]] = [
    ("model", str, None, MODEL),
    ("model_dir", str, None, "Where models are kept.  [default: ~/.cache/whisper]"),
    ("device", str, None, "Device of PyTorch.  [default: cuda where there is one, else cpu]"),
    ("output_dir -o", str, ".", "Folder of the outputs."),
    ("output_format -f", FORMATS, "all", "What to write."),
    ("verbose", bool, True, "True prints the text as it comes, False shows a progress bar."),
    ("task", TASKS, "transcribe", "Write in the language spoken, or in English."),
    ("language", Language(), None, "Language spoken.  [default: detected]"),
    ("temperature", click.FloatRange(min=0), 0.0, "Temperature of sampling."),
    ("best_of", COUNT, 5, "Candidates, where the temperature is not zero."),
    ("beam_size", COUNT, 5, "Beams, where the temperature is zero."),
    ("patience", POSITIVE, None, "Patience of beam search, arXiv 2204.05424.  [default: 1.0]"),
    ("length_penalty", OrNone(click.FloatRange(0, 1)), None, "Alpha of arXiv 1609.08144.  [default: mean]"),
    ("suppress_tokens", NumberList(int), "-1", "Tokens never written; -1 is most special characters."),
    ("initial_prompt", str, None, "Prompt of the first window."),
    ("carry_initial_prompt", bool, False, "Give that prompt to all windows."),
    ("condition_on_previous_text", bool, True, "Prompt each window with the text so far."),
    ("fp16", bool, True, "Compute in fp16, on a GPU."),
    ("temperature_increment_on_fallback", POSITIVE, 0.2, "Added where a decoding fails the next two."),
    ("compression_ratio_threshold", NUMBER, 2.4, "A decoding of a higher gzip ratio has failed."),
    ("logprob_threshold", NUMBER, -1.0, "A decoding of a lower mean log probability has failed."),
    ("no_speech_threshold", NUMBER, 0.6, "A failed decoding of a higher no-speech probability is silence."),
    ("word_timestamps", bool, False, "Time every word."),
    ("prepend_punctuations", str, PREPEND, "With word_timestamps: marks that go with the next word."),
    ("append_punctuations", str, APPEND, "With word_timestamps: marks that go with the word before."),
    ("highlight_words", bool, False, "With word_timestamps: underline spoken words in srt and vtt."),
    ("max_line_width", COUNT, None, "With word_timestamps: characters in a line of subtitles."),
    ("max_line_count", COUNT, None, "With max_line_width: lines in a subtitle."),
    ("max_words_per_line", COUNT, None, "With word_timestamps, without max_line_width: words in a line."),
    ("threads", OrNone(click.IntRange(0, 1024)), 0, "Threads on a CPU; 0 leaves that to torch."),
    ("clip_timestamps", NumberList(float), "0", "start,end,start,end,... in seconds: what to transcribe."),
    ("hallucination_silence_threshold", NUMBER, None, "With word_timestamps: silence to skip, in seconds."),
]
"""(name and short name, type, default, help)"""

COMPUTE_TYPES = click.Choice(
    ["default", "auto", "int8", "int8_float32", "int8_float16", "int16", "float16", "float32", "bfloat16"]
)

RUNTIMES: list[tuple[str, Any, Any, str]] = [
    ("backend", click.Choice(["openai", "faster", "transformers"]), "openai", "What runs the model."),
    ("compute_type", COMPUTE_TYPES, None, "Not with openai: number format.  [default: the backend's]"),
    ("batched", bool, False, "With faster: decode several windows at once."),
    ("batch_size", click.IntRange(min=1), 8, "With batched: how many."),
    (
        "vad_filter",
        bool,
        None,
        "With faster: Silero must hear speech as well.  [default: only in stock, with batched]",
    ),
    ("local_files_only", bool, False, "With faster: download nothing."),
]
"""those that openai-whisper's command has not; named as whisper-ctranslate2 names them"""

OUTPUT: list[tuple[str, Any, Any, str]] = [
    ("pretty_json -p", bool, False, "Write JSON in lines, indented."),
    ("print_colors", bool, False, "Print words red to green by their probability; times every word."),
]
"""likewise; with any backend"""


def some_options(table: list[tuple[str, Any, Any, str]], *names: str) -> Callable[[F], F]:
    """Decorate a click command with those of a table that have the names."""
    chosen = [row for row in table if row[0].split()[0] in names]
    return lambda function: decorated(function, chosen)


def defaults(table: list[tuple[str, Any, Any, str]]) -> dict[str, Any]:
    """Name -> default of each option of a table."""
    return {names.split()[0]: default for names, _, default, _ in table}


def runtime_options(function: F) -> F:
    """Decorate a click command with all of `RUNTIMES`."""
    return decorated(function, RUNTIMES)


def stock_options(function: F) -> F:
    """Decorate a click command with all of `STOCK`."""
    return decorated(function, STOCK)


def output_options(function: F) -> F:
    """Decorate a click command with all of `OUTPUT`."""
    return decorated(function, OUTPUT)


def decorated(function: F, table: list[tuple[str, Any, Any, str]]) -> F:
    """Decorate a click command with an option for each row of a table."""
    for names, kind, default, text in reversed(table):
        name, *short = names.split()
        shown = default is not None
        function = click.option(
            f"--{name}", *short, type=kind, default=default, show_default=shown, help=text
        )(function)
    return function


def underscored(token: str) -> str:
    """For click's ``token_normalize_func``: ``--output-dir`` and ``--output_dir`` are one."""
    return token.replace("-", "_")
