"""``whisper-steer demo``: the demonstration recording through stock Whisper and through steering, side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from whisper_steer.files.disk import write_whole


@click.command()
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default="demo.html",
    show_default=True,
    help="Where the page goes: sound, picture and text in one file.",
)
def demo(out: Path) -> None:
    """Transcribe the shipped recording with stock Whisper and with steering, and write a page to listen to.

    It runs on tiny.en, or on base where tiny.en cannot be had, both with openai-whisper's defaults.
    """
    from whisper_steer.demo.page import page
    from whisper_steer.demo.run import choose_model, demonstrate
    from whisper_steer.demo.text import table

    if not out.parent.is_dir():
        raise click.UsageError(f"--out: there is no folder {out.parent}; make it first")
    name, model = choose_model()
    shown = demonstrate(name, model)
    click.echo(
        f"{shown.seconds:.0f} s of dictation with long pauses; genuine {name} with openai-whisper's defaults\n"
    )
    for line in table(shown, shutil.get_terminal_size((100, 24)).columns):
        click.echo(line)
    write_whole(out, page(shown))
    click.echo(f"\nListen and look: open {out}")
