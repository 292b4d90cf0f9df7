"""``whisper-steer transcribe``: the ``whisper`` command with its options, writers and defaults, and steering."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisper_steer.cli.common import choose_model, each_of, output_names, where_speech_is
from whisper_steer.cli.options import RUNTIMES, SHARE, runtime_options, stock_options, underscored
from whisper_steer.errors import ArtifactError
from whisper_steer.steer.methods import METHODS

if TYPE_CHECKING:
    from whisper.model import Whisper

    from whisper_steer.steer.steering import Mode

MODES = click.Choice(["skip", "steer", "off"])
LAYOUT = ("highlight_words", "max_line_count", "max_line_width", "max_words_per_line")


@click.command(context_settings={"token_normalize_func": underscored, "max_content_width": 110})
@click.argument("audio", nargs=-1, required=True)
@click.option(
    "--steering", default="auto", show_default=True, help="auto, an artifact's folder or name, or none."
)
@click.option(
    "--mode", type=MODES, help="What is no speech: not decoded, edited, or as stock.  [default: skip]"
)
@click.option(
    "--method",
    type=click.Choice(list(METHODS)),
    metavar="NAME",
    help=f"With --mode steer: {', '.join(METHODS)}.  [default: clamp]",
)
@click.option("--max_suppressed_speech", type=SHARE, help="Share of speech at risk.  [default: 0.003]")
@click.option(
    "--flag_risk",
    type=click.FloatRange(0, 1),
    help="Mark segments that with this probability or more nobody said; none is dropped.",
)
@click.option("--auto_fit", is_flag=True, help="Fit steering, once, for a checkpoint that has none.")
@click.option(
    "--repetition_guard",
    type=click.Choice(["on", "off"]),
    help="Mend text that repeats itself without end.  [default: on, without steering off]",
)
@runtime_options
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
    flag_risk: float | None,
    auto_fit: bool,
    repetition_guard: str | None,
    backend: str,
    **options: Any,
) -> None:
    """Write down what is said in each AUDIO, and nothing where nobody speaks.

    AUDIO is a sound or video file, or - for stdin (its outputs are named stdin). Options may be written with _ or
    with -. Exit codes: 0 all written, 1 some skipped, 2 wrong usage, 130 interrupted.
    """
    names = output_names(audio)
    layout = _layout(options)
    steered = asked_for(steering, mode, method, max_suppressed_speech, auto_fit)
    if options["patience"] is not None and options["beam_size"] is None:
        raise click.UsageError("--patience needs --beam_size")
    if flag_risk is not None and (steering == "none" or mode == "off"):
        raise click.UsageError("--flag_risk needs steering")
    runtime = take_runtime(backend, options, auto_fit)

    from whisper_steer.files.output import write_outputs
    from whisper_steer.risk.flags import flagged, line

    output_dir, output_format = options.pop("output_dir"), options.pop("output_format")
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    guard = None if repetition_guard is None else repetition_guard == "on"
    run = load_run(backend, runtime, options, steered, guard, auto_fit)

    def write(source: str) -> None:
        if flag_risk is None:
            result = run(source, **options)
        else:  # what is printed in colour is known at the end
            result = flagged(run(source, **{**options, "verbose": options["verbose"] and None}), flag_risk)
            for segment in result["segments"] if options["verbose"] else []:
                click.secho(line(segment), fg="red" if segment["flagged"] else None)
        write_outputs(result, names[source], output_dir, output_format, **layout)
        if options["verbose"]:
            _say_what_steering_did(source, result)

    ctx.exit(1 if each_of(audio, write, quiet=bool(options["verbose"])) else 0)


def asked_for(
    steering: str, mode: Mode | None, method: str | None, max_suppressed_speech: float | None, auto_fit: bool
) -> dict[str, Any]:
    """The steering that the options name, for a runtime. Raises `click.UsageError` where they contradict each other."""
    if steering == "none" and (mode not in (None, "off") or method or max_suppressed_speech or auto_fit):
        raise click.UsageError("--mode, --method, --max_suppressed_speech and --auto_fit need steering")
    if method and mode != "steer":
        raise click.UsageError("--method needs --mode steer")
    if steering == "none" or mode == "off":
        return {"steering": None}
    return {
        "steering": steering,
        "mode": mode,
        "method": method,
        "max_suppressed_speech": max_suppressed_speech,
    }


def load_run(
    backend: str,
    runtime: dict[str, Any],
    options: dict[str, Any],
    steered: dict[str, Any],
    guard: bool | None,
    auto_fit: bool = False,
) -> Callable[..., dict[str, Any]]:
    """Load model and steering. Returns what transcribes a path or samples with the rest of the options, which are
    settled in place. ``runtime`` as from `take_runtime`, ``steered`` as from `asked_for`."""
    if backend == "openai":
        return partial(_with_openai(options, steered, auto_fit), repetition_guard=guard)
    return _with_backend(backend, runtime, options, {**steered, "repetition_guard": guard})


def _say_what_steering_did(source: str, result: dict[str, Any]) -> None:
    about = result.get("steering")
    if about is None:
        return
    spans, seconds = about["spans"], about["seconds"]
    if [(span["start"], span["end"]) for span in spans] != [(0.0, seconds)]:
        click.echo(f"{source}: {where_speech_is(seconds, spans)}", err=True)


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


def take_runtime(backend: str, options: dict[str, Any], auto_fit: bool) -> dict[str, Any]:
    """Take the options of other runtimes out; refuse those that do not go with this one."""
    runtime = {name: options.pop(name) for name, *_ in RUNTIMES[1:]}
    used = [name for name, _, default, _ in RUNTIMES[1:] if runtime[name] != default]
    if backend == "openai" and used:
        raise click.UsageError(f"--{used[0]} does not go with --backend openai")
    if backend != "openai" and auto_fit:
        raise click.UsageError("--auto_fit goes with --backend openai; other backends find what it made")
    return runtime


def _with_openai(options: dict[str, Any], steered: dict[str, Any], auto_fit: bool) -> Callable[..., Any]:
    """Load model and steering; returns `transcribe` for them."""
    import torch

    from whisper_steer.models.load import load_model
    from whisper_steer.runtimes.openai import prepare, transcribe

    if threads := options.pop("threads"):
        torch.set_num_threads(threads)
    model_dir = options.pop("model_dir")
    name = choose_model(options.pop("model"), model_dir)
    model = load_model(name, options.pop("device"), model_dir)
    if model.device.type == "cpu":
        options["fp16"] = False
    _settle_decoding(options, name, model.is_multilingual)
    if steered["steering"] == "auto":
        _require_artifact(model, name, auto_fit)
    return partial(transcribe, model, steering=prepare(model, **steered))


def _with_backend(
    backend: str, runtime: dict[str, Any], options: dict[str, Any], steered: dict[str, Any]
) -> Callable[..., Any]:
    """Load another runtime with model and steering; returns its ``transcribe``."""
    from whisper_steer.cli.backends import Runtime, load, refuse_missing

    refuse_missing(backend, options)
    name = choose_model(options.pop("model"), options["model_dir"])
    where = {key: options.pop(key) for key in ("device", "model_dir", "threads")}
    loaded = load(backend, name, steered, Runtime(**where, **runtime))
    _settle_decoding(options, name, loaded.is_multilingual)
    return loaded.transcribe


def _settle_decoding(options: dict[str, Any], name: str, is_multilingual: bool) -> None:
    """Make of the command's options those of `transcribe`, as openai-whisper's command does."""
    import numpy as np

    if not is_multilingual:
        if options["language"] is not None and options["language"].lower() not in ("en", "english"):
            click.echo(
                f"Note: {name} knows English only; --language {options['language']} is ignored", err=True
            )
        options["language"] = "en"
    temperature, step = options["temperature"], options.pop("temperature_increment_on_fallback")
    if step is not None and temperature <= 1.0:
        options["temperature"] = tuple(np.arange(temperature, 1.0 + 1e-6, step).tolist())


def _require_artifact(model: Whisper, name: str, auto_fit: bool) -> None:
    """Make sure that an artifact for the model's encoder can be found: shipped, cached, or fitted now."""
    from whisper_steer.encoders.fingerprint import encoder_fingerprint
    from whisper_steer.steer.find import find

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
