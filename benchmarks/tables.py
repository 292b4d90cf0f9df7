"""The docs' tables, put in from the stored outputs: no figure in the docs is typed, and none can be stale.

``make results``, or ``python -m benchmarks.tables``, rewrites every table that stands under a line such as

    <!-- table: recordings-tiny.en.md 3; rows: ^\\| ours; columns: system | WER; bold: ours-skip -->

with the fourth table of ``benchmarks/results/recordings-tiny.en.md`` (tables count from 0): the rows that the regular
expression finds, the columns named, in that order, and the cells of rows that ``bold`` finds in bold. With ``--check``
nothing is written and a table that differs is an error. A table that no stored output holds as it is stands under
``<!-- by hand: WHY -->``; ``unmarked`` lists those under neither, which a test wants empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import click

from whisper_steer.errors import DataError
from whisper_steer.files.disk import write_whole

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
TABLE = re.compile(r"(?:^\|.*(?:\n|\Z))+", re.MULTILINE)
MARKED = re.compile(r"(<!-- table: (?P<spec>.*?) -->\n\n?)(?P<table>(?:^\|.*(?:\n|\Z))*)", re.MULTILINE)
BY_HAND = re.compile(r"<!-- by hand: .+? -->\n\n?\Z", re.DOTALL)
FIGURE = re.compile(r"\| *\**[-+]?\d[\d.,]*[ %/(\[*|]")
"""a cell that begins with a number"""


@dataclass(frozen=True)
class Spec:
    """Which table of which stored output, and what of it."""

    file: str
    number: int
    rows: str = ""
    columns: tuple[str, ...] = ()
    bold: str = ""

    @classmethod
    def read(cls, text: str) -> Spec:
        """From the marker's text. Raises `DataError` where it cannot be read."""
        head, *parts = [part.strip() for part in text.split(";")]
        found = re.fullmatch(r"(\S+) (\d+)", head)
        named = dict(re.split(r":\s*", part, maxsplit=1) for part in parts if ":" in part)
        if found is None or len(named) < len(parts) or not set(named) <= {"rows", "columns", "bold"}:
            raise DataError(
                f"table marker {text!r}: write FILE NUMBER, then rows:, columns:, bold:, parted by ;"
            )
        columns = tuple(c.strip() for c in named.get("columns", "").split("|") if c.strip())
        return cls(found[1], int(found[2]), named.get("rows", ""), columns, named.get("bold", ""))


def stored(spec: Spec, folder: Path = RESULTS) -> str:
    """The table in Markdown. Raises `DataError` where the stored output does not hold it."""
    path = folder / spec.file
    if not path.is_file():
        raise DataError(f"{path}: no such stored output; run the command that the docs name above the table")
    tables = TABLE.findall(path.read_text(encoding="utf-8"))
    if spec.number >= len(tables):
        raise DataError(
            f"{spec.file}: has {len(tables)} tables, counted from 0; there is no table {spec.number}"
        )
    header, _, *rows = [cells(line) for line in tables[spec.number].splitlines()]
    lines = [row for row in rows if re.search(spec.rows, written(row))]
    missing = set(spec.columns) - set(header)
    if missing or not lines:
        raise DataError(
            f"{spec.file}, table {spec.number}: no {', '.join(sorted(missing)) or 'row that fits'}"
        )
    keep = [header.index(name) for name in spec.columns] or list(range(len(header)))
    lines = [[row[i] for i in keep] for row in lines]
    if spec.bold:
        lines = [[f"**{c}**" for c in row] if re.search(spec.bold, written(row)) else row for row in lines]
    return "\n".join(map(written, [[header[i] for i in keep], ["---"] * len(keep), *lines])) + "\n"


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def written(row: list[str]) -> str:
    return "| " + " | ".join(row) + " |"


def filled(text: str, folder: Path = RESULTS) -> str:
    """A page with every marked table as its stored output has it. Raises `DataError`."""

    def put(m: re.Match[str]) -> str:
        gap = "" if m.string[m.end() : m.end() + 1] in ("", "\n") else "\n"
        return m[1].rstrip("\n") + "\n\n" + stored(Spec.read(m["spec"]), folder) + gap

    return MARKED.sub(put, text)


def unmarked(text: str) -> list[str]:
    """Headers of the tables with figures that stand under no marker."""
    marked = {m.start("table") for m in MARKED.finditer(text)}
    return [
        m[0].splitlines()[0]
        for m in TABLE.finditer(text)
        if m.start() not in marked and FIGURE.search(m[0]) and not BY_HAND.search(text[: m.start()])
    ]


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail where a table differs.")
def main(check: bool) -> None:
    """Put the stored outputs' tables into the docs."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        new = filled(text)
        if new != text and check:
            raise click.ClickException(
                f"{page.relative_to(ROOT)}: a table differs from its stored output: make results"
            )
        if new != text:
            write_whole(page, new)
            click.echo(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
