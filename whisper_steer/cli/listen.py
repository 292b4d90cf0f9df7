"""``whisper-steer listen``: where somebody speaks, for runtimes that take no hook: whisper.cpp, vLLM, a hosted API."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from whisper_steer.cli.common import choose_model, each_of, output_names, where_speech_is
from whisper_steer.cli.options import SHARE, STOCK, some_options, underscored
from whisper_steer.errors import ArtifactError

if TYPE_CHECKING:
    from whisper.model import Whisper

FORMATS = click.Choice(["json", "rttm", "audacity", "srt", "png", "all"])
SECONDS = click.FloatRange(min=0.08)


@click.command(context_settings={"token_normalize_func": underscored, "max_content_width": 110})
@click.argument("audio", nargs=-1, required=True)
@some_options(STOCK, "model", "model_dir", "device")
@click.option("--steering", default="auto", show_default=True, help="auto, or an artifact's folder or name.")
@click.option("--max_suppressed_speech", type=SHARE, help="Share of speech at risk.  [default: 0.003]")
@click.option("--output_dir", "-o", default=".", show_default=True, help="Folder of the outputs.")
@click.option("--output_format", "-f", type=FORMATS, default="json", show_default=True, help="What to write.")
@click.option("--longest", type=SECONDS, help="Cut spans into pieces of at most so many seconds.")
@click.pass_context
def listen(
    ctx: click.Context,
    /,
    audio: tuple[str, ...],
    model: str | None,
    model_dir: str | None,
    device: str | None,
    steering: str,
    max_suppressed_speech: float | None,
    output_dir: str,
    output_format: str,
    longest: float | None,
) -> None:
    """Write where somebody speaks in each AUDIO, as AUDIO.speech.json or in another format.

    AUDIO is a sound or video file, or - for stdin (its outputs are named stdin). With --longest 30 the pieces fit
    Whisper's window. Options may be written with _ or with -. Exit codes: 0 all written, 1 some skipped, 2 wrong
    usage, 130 interrupted.
    """
    output_names(audio)
    if steering == "none":
        raise click.UsageError("listening needs steering: leave --steering out, or name an artifact")

    from whisper_steer.audio.load import load_audio
    from whisper_steer.cli.span_files import Heard, write_spans
    from whisper_steer.models.load import load_model
    from whisper_steer.runtimes.openai import prepare

    name = choose_model(model, model_dir)
    loaded = load_model(name, device, model_dir)
    if steering == "auto":
        require_artifact(loaded, name)
    ready = prepare(loaded, steering, max_suppressed_speech=max_suppressed_speech)
    assert ready is not None
    prefix = ready.prefix(loaded.encoder)
    about = {"model": name, "steering": ready.describe()}

    def write(source: str) -> None:
        samples = load_audio(source)
        heard = Heard(source, samples, ready.listen(prefix, samples), about, longest)
        paths = write_spans(heard, output_dir, output_format)
        spans = [asdict(span) for span in heard.hearing.spans]
        click.echo(
            f"{source}: {where_speech_is(heard.hearing.seconds, spans)} -> {', '.join(map(str, paths))}"
        )

    ctx.exit(1 if each_of(audio, write, quiet=True) else 0)


def require_artifact(model: Whisper, name: str) -> None:
    """Raise `ArtifactError`, which names the remedy, where there is no steering for a model."""
    from whisper_steer.encoders.fingerprint import encoder_fingerprint
    from whisper_steer.steer.find import find

    if find(encoder_fingerprint(model.encoder)) is None:
        raise ArtifactError(
            f"no steering for {name} yet: run `whisper-steer fit {name}`, or name an artifact with --steering"
        )
