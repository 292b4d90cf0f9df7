"""``whisper-steer transcribe``: the ``whisper`` command with its options, writers and defaults, and steering."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisper_steer.cli import describe
from whisper_steer.cli.options import stock_options, underscored
from whisper_steer.errors import ArtifactError, WhisperSteerError

if TYPE_CHECKING:
    from whisper.model import Whisper

    from whisper_steer.steering import Mode

MODES = click.Choice(["skip", "steer", "off"])
METHODS = click.Choice(["clamp", "additive", "scaled-additive", "multiplicative", "mean-difference"])
SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
LAYOUT = ("highlight_words", "max_line_count", "max_line_width", "max_words_per_line")


@click.command(context_settings={"token_normalize_func": underscored, "max_content_width": 110})
@click.argument("audio", nargs=-1, required=True)
@click.option(
    "--steering", default="auto", show_default=True, help="auto, an artifact's folder or name, or none."
)
@click.option(
    "--mode", type=MODES, help="Windows without speech: not decoded, edited, or as stock.  [default: skip]"
)
@click.option(
    "--method",
    type=METHODS,
    metavar="NAME",
    help=f"With --mode steer: {', '.join(METHODS.choices)}.  [default: clamp]",
)
@click.option(
    "--max_suppressed_speech", type=SHARE, help="Share of speech windows at risk.  [default: 0.005]"
)
@click.option("--auto_fit", is_flag=True, help="Fit steering, once, for a checkpoint that has none.")
@stock_options
@click.pass_context
def transcribe(
    ctx: click.Context,
    /,
    audio: tuple[str, ...],
    steering: str,
    mode: Mode | None,
    method: str | None,
    max_suppressed_speech: float | None,
    auto_fit: bool,
    **options: Any,
) -> None:
    """Write down what is said in each AUDIO, and nothing where nobody speaks.

    AUDIO is a sound or video file, or - for stdin (its outputs are named stdin). Options may be written with _ or
    with -. Exit codes: 0 all written, 1 some skipped, 2 wrong usage, 130 interrupted.
    """
    names = _output_names(audio)
    layout = _layout(options)
    if options["patience"] is not None and options["beam_size"] is None:
        raise click.UsageError("--patience needs --beam_size")
    if steering == "none" and (mode not in (None, "off") or method or max_suppressed_speech or auto_fit):
        raise click.UsageError("--mode, --method, --max_suppressed_speech and --auto_fit need steering")
    if method and mode != "steer":
        raise click.UsageError("--method needs --mode steer")

    from tqdm import tqdm

    from whisper_steer.output import write_outputs
    from whisper_steer.transcription import prepare
    from whisper_steer.transcription import transcribe as run

    output_dir, output_format = options.pop("output_dir"), options.pop("output_format")
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    model_name = options.pop("model")
    model = _load(model_name, options)
    ready = None
    if steering != "none" and mode != "off":
        if steering == "auto":
            _require_artifact(model, model_name, auto_fit)
        ready = prepare(
            model, steering, mode=mode, method=method, max_suppressed_speech=max_suppressed_speech
        )
    skipped = 0
    for source in tqdm(audio, unit="file", disable=len(audio) == 1 or options["verbose"]):
        try:
            result = run(model, source, steering=ready, **options)
            write_outputs(result, names[source], output_dir, output_format, **layout)
            if options["verbose"]:
                _say_what_steering_did(source, result)
        except Exception as error:
            skipped += 1
            kind = "" if isinstance(error, (WhisperSteerError, OSError)) else f"{type(error).__name__}: "
            click.echo(f"Skipping {source}: {kind}{describe(error)}", err=True)
    ctx.exit(1 if skipped else 0)


def _say_what_steering_did(source: str, result: dict[str, Any]) -> None:
    windows = result.get("steering", {}).get("windows", [])
    acted = sum(window["action"] != "untouched" for window in windows)
    if acted:
        click.echo(f"{source}: no speech in {acted} of {len(windows)} windows", err=True)


def _output_names(audio: tuple[str, ...]) -> dict[str, str]:
    """Input -> name of its outputs before the suffix. Two inputs that would overwrite each other are refused."""
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for source in audio:
        name = "stdin" if source == "-" else Path(source).name
        stem = Path(name).stem
        if stem in taken:
            raise click.UsageError(
                f"{taken[stem]} and {source} would both be written as {stem}.*: run them apart"
            )
        taken[stem], names[source] = source, name
    return names


def _layout(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of the subtitle writers out; refuse and remark on what openai-whisper does."""
    layout = {name: options.pop(name) for name in LAYOUT}
    for name, value in layout.items():
        if value and not options["word_timestamps"]:
            raise click.UsageError(f"--{name} needs --word_timestamps True")
    if layout["max_line_count"] and not layout["max_line_width"]:
        click.echo("Note: --max_line_count has no effect without --max_line_width", err=True)
    if layout["max_words_per_line"] and layout["max_line_width"]:
        click.echo("Note: --max_words_per_line has no effect beside --max_line_width", err=True)
    return layout


def _load(name: str, options: dict[str, Any]) -> Whisper:
    """Load the model and make of the command's options those of `transcribe`, as openai-whisper's command does."""
    import numpy as np
    import torch

    from whisper_steer.models import load_model

    if threads := options.pop("threads"):
        torch.set_num_threads(threads)
    model = load_model(name, options.pop("device"), options.pop("model_dir"))
    if model.device.type == "cpu":
        options["fp16"] = False
    if not model.is_multilingual:
        if options["language"] is not None and options["language"].lower() not in ("en", "english"):
            click.echo(
                f"Note: {name} knows English only; --language {options['language']} is ignored", err=True
            )
        options["language"] = "en"
    temperature, step = options["temperature"], options.pop("temperature_increment_on_fallback")
    if step is not None and temperature <= 1.0:
        options["temperature"] = tuple(np.arange(temperature, 1.0 + 1e-6, step).tolist())
    return model


def _require_artifact(model: Whisper, name: str, auto_fit: bool) -> None:
    """Make sure that an artifact for the model's encoder can be found: shipped, cached, or fitted now."""
    from whisper_steer.artifact import find
    from whisper_steer.models import encoder_fingerprint

    if find(encoder_fingerprint(model.encoder)) is not None:
        return
    if not auto_fit:
        raise ArtifactError(
            f"no steering for {name} yet: add --auto-fit to make it once, run `whisper-steer fit {name}`, "
            "or pass --steering none for stock Whisper"
        )
    from whisper_steer.fit.auto import auto_fit as fit_and_keep

    click.echo(f"Fitting steering for {name}, once ...", err=True)
    fit_and_keep(model, Path(name).stem if Path(name).is_file() else name)
