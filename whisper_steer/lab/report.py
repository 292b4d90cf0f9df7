"""The tables of docs/laboratory/training.md: ``python -m whisper_steer.lab.report benchmarks/results/saelog-base.json``

A log of an earlier trainer of SAEs, of which step 0 is left out, as the threshold is 0 there; or gates compared on
held-out clips by `whisper_steer.fit.listening.compare`, under keys "point/(hidden, seed, windows)".
"""

from __future__ import annotations

from ast import literal_eval
from pathlib import Path
from typing import Any

import click

from whisper_steer.errors import DataError
from whisper_steer.eval.report import table
from whisper_steer.files.card import read_json
from whisper_steer.lab.command import Command

LISTENS = {
    "stem": "behind the convolutions",
    "0": "blocks.0",
    "local500": "blocks.0, attention within 10 s",
    "local250": "blocks.0, attention within 5 s",
    "1": "blocks.1",
}
SHARES = {
    "pauses_in_spans": "pauses in spans",
    "nonspeech_with_spans": "non-speech with spans",
    "voice_with_spans": "voice with spans",
    "hard_without_spans": "hard speech without spans",
    "cost": "cost",
}


@click.command(cls=Command, help=__doc__)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def main(files: tuple[Path, ...]) -> None:
    for path in files:
        click.echo(f"`{path.name}`:\n\n{report(path)}\n")


def report(path: Path) -> str:
    """A table in Markdown. Raises `DataError` where the file is none of the two."""
    try:
        found = read_json(path)
        return saes(found) if "log" in found else gates(found)
    except (ValueError, SyntaxError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is neither a log of SAEs nor gates compared: name one that is") from error


def saes(found: dict[str, Any]) -> str:
    """A row for each point and control, a column for each step that was measured."""
    names = [*found["points"], *(f"{point}, Soft-Frozen" for point in found["soft_frozen"])]
    entries = [entry for entry in found["log"] if entry["step"]]
    rows = [
        [name, *(_quality(*entry["quality"][index]) for entry in entries)] for index, name in enumerate(names)
    ]
    return table(["point", *(f"step {entry['step']}" for entry in entries)], rows)


def gates(found: dict[str, Any]) -> str:
    """A row for each gate, shares in percent."""
    rows = []
    for key, shares in found.items():
        point, _, trained = key.partition("/")
        hidden, _seed, windows = literal_eval(trained)
        rows.append(
            [LISTENS[point], str(hidden), str(windows), *(f"{100 * shares[name]:.2f}" for name in SHARES)]
        )
    return table(["listens", "hidden", "windows", *SHARES.values()], rows)


def _quality(explained: float, active: float, dead: float) -> str:
    return f"{100 * explained:.1f}, {active:.1f}, {100 * dead:.1f}"


if __name__ == "__main__":
    main()
