"""``python -m whisper_steer.eval.loops``: find windows that loop, mend them in every way, print the tables.

    make tiny.en --data manifest:FILE --split choose --out loops      # the same command goes on where it stopped
    measure tiny.en --data manifest:FILE --split choose --out loops
    report tiny.en --split choose --out loops
    cost tiny.en --data manifest:FILE --split test

The folder holds ``MODEL-SPLIT.jsonl``, a line for each window, and ``MODEL-SPLIT-ways.jsonl``, one for each
loop and way.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from whisper_steer.cli import OneLineErrors
from whisper_steer.data.clips import Split
from whisper_steer.errors import DataError

DATA = click.option("--data", required=True, help="KIND:PATH, as of whisper-steer benchmark.")
SPLIT = click.option(
    "--split", type=click.Choice(["fit", "choose", "test"]), default="choose", show_default=True
)
OUT = click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder.")
LIMIT = click.option("--limit", type=click.IntRange(1), help="Clips of a data set.  [default: all]")
SECONDS = click.option("--seconds", type=float, help="Stop after so many.  [default: when done]")


@click.command(cls=OneLineErrors)
def loops() -> None:
    """Loops on genuine models, and what mends them."""


@loops.command()
@click.argument("model")
@DATA
@SPLIT
@LIMIT
@SECONDS
@OUT
def make(model: str, data: str, split: Split, limit: int | None, seconds: float | None, out: Path) -> None:
    """Decode windows at temperature 0 and write down what repeats."""
    from whisper_steer.data.load import load
    from whisper_steer.models.load import load_model

    from .collect import collect
    from .material import windows

    collect(load_model(model), windows(load(data), split, limit), out / f"{model}-{split}.jsonl", seconds)


@loops.command()
@click.argument("model")
@DATA
@SPLIT
@SECONDS
@click.option("--heads-of", type=int, multiple=True, help="Blocks whose heads are patched one by one.")
@click.option("--pairs/--no-pairs", default=True, show_default=True, help="Two blocks patched at a time.")
@click.option("--fallback/--no-fallback", default=True, show_default=True, help="Temperatures as well; slow.")
@OUT
def measure(
    model: str,
    data: str,
    split: Split,
    seconds: float | None,
    heads_of: tuple[int, ...],
    pairs: bool,
    fallback: bool,
    out: Path,
) -> None:
    """Mend each loop that `make` found in every way."""
    from whisper_steer.data.load import load
    from whisper_steer.models.load import load_model

    from .material import windows
    from .measure import measure as measured
    from .measure import ways
    from .report import KINDS, kind_of

    clips = {clip.id: clip for clip in windows(load(data), split)}
    rows = [row for row in _read(out / f"{model}-{split}.jsonl") if row["seen"] and kind_of(row) != KINDS[2]]
    loaded = load_model(model)
    dims = loaded.dims
    chosen = ways(dims.n_text_layer, dims.n_text_head, heads_of, pairs)
    todo = [(clips[row["id"]], row) for row in rows if row["id"] in clips]
    measured(loaded, todo, chosen, out / f"{model}-{split}-ways.jsonl", seconds, fallback)


@loops.command()
@click.argument("model")
@SPLIT
@OUT
def report(model: str, split: Split, out: Path) -> None:
    """Print and write the tables."""
    from .collect import is_seen
    from .report import found, mended

    windows = _read(out / f"{model}-{split}.jsonl")
    found(model, split, windows).show(out / "found")
    taken = {row["id"] for row in windows if is_seen(row)}
    if (out / f"{model}-{split}-ways.jsonl").is_file():
        click.echo()
        mended(model, split, _read(out / f"{model}-{split}-ways.jsonl"), taken).show(out / "mended")


@loops.command()
@click.argument("model")
@DATA
@SPLIT
@click.option("--n", type=click.IntRange(1), default=10, show_default=True, help="Windows.")
def cost(model: str, data: str, split: Split, n: int) -> None:
    """CPU time of the watch, in windows that do not loop, against all of their decoding."""
    from whisper_steer.data.load import load
    from whisper_steer.models.load import load_model

    from .cost import watched
    from .material import windows

    plain = [clip for clip in windows(load(data), split) if clip.condition == "clean"][:n]
    click.echo(watched(load_model(model), plain))


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise DataError(f"{path} is missing: run make, and measure, with the same --out first")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    loops()
