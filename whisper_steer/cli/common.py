"""What the commands that take recordings share: the model, the names of outputs, one file after another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from whisper_steer.cli import describe
from whisper_steer.cli.pipes import readers_may_leave
from whisper_steer.errors import WhisperSteerError


def choose_model(name: str | None, model_dir: str | None) -> str:
    """The model's name; where none was given, one is chosen, and it is said which and why."""
    from whisper_steer.models.checkpoints import default_model

    if name is not None:
        return name
    chosen, why = default_model(model_dir)
    click.echo(f"Model: {chosen}, {why}; --model takes another", err=True)
    return chosen


def output_names(audio: tuple[str, ...]) -> dict[str, str]:
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


def each_of(audio: tuple[str, ...], work: Callable[[str], None], quiet: bool) -> int:
    """Do the work for one recording after another; how many had to be skipped, said one by one.

    ``quiet``: no progress bar, for work that prints by itself. All is done also where nobody reads what is printed.
    """
    from tqdm import tqdm

    skipped = 0
    with readers_may_leave():
        for source in tqdm(audio, unit="file", disable=len(audio) == 1 or quiet):
            try:
                work(source)
            except Exception as error:
                skipped += 1
                kind = "" if isinstance(error, (WhisperSteerError, OSError)) else f"{type(error).__name__}: "
                click.echo(f"Skipping {source}: {kind}{describe(error)}", err=True)
    return skipped


def where_speech_is(seconds: float, spans: list[dict[str, Any]]) -> str:
    """How much of a recording is speech, in words. ``spans`` with "start" and "end"."""
    if not spans:
        return f"no speech in {_rounded(seconds)} s"
    spoken = sum(span["end"] - span["start"] for span in spans)
    count = f"{len(spans)} span{'s' * (len(spans) > 1)}"
    return f"speech in {count}, {_rounded(spoken)} of {_rounded(seconds)} s"


def _rounded(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}".removesuffix(".0")


__all__ = ["choose_model", "each_of", "output_names", "where_speech_is"]
