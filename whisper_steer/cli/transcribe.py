"""``whisper-steer transcribe``: the ``whisper`` command with its options, writers and defaults, and steering."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisper_steer.cli.common import each_of, output_names, where_speech_is
from whisper_steer.cli.faster_options import faster_options
from whisper_steer.cli.loading import load, settle_decoding, steering_options, take_runtime, take_steering
from whisper_steer.cli.options import output_options, runtime_options, stock_options, underscored
from whisper_steer.cli.parsing import StockLike

if TYPE_CHECKING:
    pass

LAYOUT = ("highlight_words", "max_line_count", "max_line_width", "max_words_per_line")


@click.command(
    cls=StockLike, context_settings={"token_normalize_func": underscored, "max_content_width": 110}
)
@click.argument("audio", nargs=-1, required=True)
@steering_options
@click.option(
    "--flag_risk",
    type=click.FloatRange(0, 1),
    help="Mark segments that with this probability or more nobody said; none is dropped.",
)
@output_options
@runtime_options
@faster_options
@stock_options
@click.pass_context
def transcribe(
    ctx: click.Context,
    /,
    audio: tuple[str, ...],
    flag_risk: float | None,
    pretty_json: bool,
    print_colors: bool,
    backend: str,
    **options: Any,
) -> None:
    """Write down what is said in each AUDIO, and nothing where nobody speaks.

    AUDIO is a sound or video file, its address (https://...), or - for stdin (its outputs are named stdin). Options may
    be written with _ or with -, and shortened; BOOLEAN ones alone mean True. Exit codes: 0 all written, 1 some skipped,
    2 wrong usage, 130 interrupted.
    """
    names = output_names(audio)
    options["word_timestamps"] |= print_colors
    layout = _layout(options)
    steered, auto_fit = take_steering(backend, options)
    if flag_risk is not None and steered["steering"] is None:
        raise click.UsageError("--flag_risk needs steering")
    if print_colors and (not options["verbose"] or flag_risk is not None):
        raise click.UsageError("--print_colors goes neither with --verbose False nor with --flag_risk")
    if print_colors and backend == "transformers":
        raise click.UsageError(
            "--print_colors needs words' probabilities, which --backend transformers lacks"
        )
    runtime = take_runtime(backend, options)

    from whisper_steer.cli import colours
    from whisper_steer.files.output import write_outputs
    from whisper_steer.risk.flags import flagged, line

    output_dir, output_format = options.pop("output_dir"), options.pop("output_format")
    Path(output_dir).mkdir(parents=True, exist_ok=True)
    loaded = load(backend, runtime, options, steered, auto_fit)
    settle_decoding(options, loaded.name, loaded.is_multilingual)
    run = loaded.transcribe

    def write(source: str) -> None:
        at_once = flag_risk is None and not print_colors  # else what is printed in colour is known at the end
        result = run(source, **(options if at_once else {**options, "verbose": options["verbose"] and None}))
        if flag_risk is not None:
            result = flagged(result, flag_risk)
            for segment in result["segments"] if options["verbose"] else []:
                click.secho(line(segment), fg="red" if segment["flagged"] else None)
        if print_colors:
            for segment in result["segments"]:
                click.echo(colours.line(segment))
        write_outputs(result, names[source], output_dir, output_format, pretty_json, **layout)
        if options["verbose"]:
            _say_what_steering_did(source, result)

    ctx.exit(1 if each_of(audio, write, quiet=bool(options["verbose"])) else 0)


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
