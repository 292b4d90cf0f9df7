"""``whisper-steer explain``: what was heard in a recording, and why it was or was not transcribed."""

from __future__ import annotations

import json
from pathlib import Path

import click

from whisper_steer.cli.common import choose_model, each_of, output_names, where_speech_is
from whisper_steer.cli.options import SHARE, STOCK, some_options, underscored


@click.command(context_settings={"token_normalize_func": underscored, "max_content_width": 110})
@click.argument("audio", nargs=-1, required=True)
@some_options(STOCK, "model", "model_dir", "device")
@click.option("--steering", default="auto", show_default=True, help="auto, or an artifact's folder or name.")
@click.option("--max_suppressed_speech", type=SHARE, help="Share of speech at risk.  [default: 0.003]")
@click.option("--out", "-o", default=".", show_default=True, help="Folder of the outputs.")
@click.pass_context
def explain(
    ctx: click.Context,
    /,
    audio: tuple[str, ...],
    model: str | None,
    model_dir: str | None,
    device: str | None,
    steering: str,
    max_suppressed_speech: float | None,
    out: str,
) -> None:
    """Say what is heard in each AUDIO and why, as text, AUDIO.explain.html and AUDIO.explain.json.

    AUDIO is a sound or video file, or - for stdin. For each span of speech and what lies between them: the evidence,
    the names of what is heard with their precision, what spoke for and against, what stock Whisper writes there
    and what whisper-steer does. Exit codes: 0 all explained, 1 some skipped, 2 wrong usage, 130 interrupted.
    """
    names = output_names(audio)
    if steering == "none":
        raise click.UsageError("explaining needs steering: leave --steering out, or name an artifact")

    from dataclasses import asdict

    from whisper_steer.audio.load import load_audio
    from whisper_steer.explain.page import page
    from whisper_steer.explain.report import Explained, as_json, lines, texts_in
    from whisper_steer.explain.stretches import Explaining
    from whisper_steer.files.output import finite, moved_into
    from whisper_steer.models.load import load_model
    from whisper_steer.runtimes.openai import prepare, transcribe

    name = choose_model(model, model_dir)
    loaded = load_model(name, device, model_dir)
    ready = prepare(loaded, steering, max_suppressed_speech=max_suppressed_speech)
    assert ready is not None
    explaining = Explaining(ready, loaded.encoder)
    options = {"fp16": loaded.device.type != "cpu"}

    def write(source: str) -> None:
        samples = load_audio(source)
        hearing = ready.listen(ready.prefix(loaded.encoder), samples)
        found = explaining.explain(samples, hearing)
        wrote = [transcribe(loaded, samples, steering=each, **options) for each in (None, ready)]
        stock, steered = (texts_in(found.stretches, result["segments"]) for result in wrote)
        summary = where_speech_is(hearing.seconds, [asdict(span) for span in hearing.spans])
        shown = Explained(names[source], name, ready.artifact.name, summary, found, stock, steered)
        stem = Path(names[source]).stem
        with moved_into(Path(out)) as folder:
            (folder / f"{stem}.explain.html").write_text(page(shown, samples), encoding="utf-8")
            content = json.dumps(finite(as_json(shown)), indent=2, ensure_ascii=False)
            (folder / f"{stem}.explain.json").write_text(content + "\n", encoding="utf-8")
        for line in lines(shown):
            click.echo(line)

    ctx.exit(1 if each_of(audio, write, quiet=True) else 0)
