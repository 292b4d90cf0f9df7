"""``python -m whisper_steer.eval.live``: recordings with pauses and sounds, by our listener and Silero's iterator.

    --data manifest:FILE --split test --recordings 24 --sounds 14 --model tiny.en --model base --out live.jsonl

One thread. The file holds a line for each recording and system; the same command goes on where it stopped, and prints
the tables when all are there.
"""

from __future__ import annotations

from pathlib import Path

import click

from whisper_steer.cli import one_line_errors
from whisper_steer.data.clips import Split


@click.command()
@click.option("--data", required=True, help="KIND:PATH, as of whisper-steer benchmark.")
@click.option("--split", type=click.Choice(["choose", "test"]), default="choose", show_default=True)
@click.option(
    "--style", default="pauses", show_default=True, help="Of the recordings, see data/recordings.py."
)
@click.option("--recordings", "n", type=click.IntRange(1), default=24, show_default=True, help="How many.")
@click.option(
    "--sounds", "n_sounds", type=click.IntRange(0), default=14, show_default=True, help="Streams of 3 min."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the recordings.")
@click.option("--model", "models", multiple=True, default=("tiny.en", "base"), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSONL of what was told.")
@click.pass_context
def live(
    ctx: click.Context,
    data: str,
    split: Split,
    style: str,
    n: int,
    n_sounds: int,
    seed: int,
    models: tuple[str, ...],
    out: Path,
) -> None:
    """Delays, false starts and missed utterances of live listening."""
    with one_line_errors(ctx):
        from whisper_steer.data.load import load
        from whisper_steer.data.recordings import STYLES, recordings
        from whisper_steer.errors import UsageError

        from .material import sounds
        from .report import report
        from .run import run

        if style not in STYLES:
            raise UsageError(f"unknown style {style!r}; choose one of {', '.join(STYLES)}")
        clips = [clip for clip in load(data) if clip.split == split]
        click.echo(report(run(clips, recordings(clips, style, n, seed, split), models, out)))
        if n_sounds:
            click.echo("\n" + report(run(clips, sounds(clips, n_sounds, seed, split), models, out)))


if __name__ == "__main__":
    live()
