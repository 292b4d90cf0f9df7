"""Finished parts on disk: one Parquet file each, written whole, never changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from whisper_steer.archive.work import Row
from whisper_steer.errors import MissingPackageError
from whisper_steer.files.disk import write_whole

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    raise MissingPackageError("archives need pyarrow: pip install 'whisper-steer[archive]'") from None

PARTS = "parts"

_SPAN = [("start", pa.float64()), ("end", pa.float64()), ("evidence", pa.float64())]
SCHEMA = pa.schema(
    [
        ("audio_filepath", pa.string()),
        ("offset", pa.float64()),
        ("duration", pa.float64()),
        ("text", pa.string()),
        ("language", pa.string()),
        ("spans", pa.list_(pa.struct(_SPAN))),
        ("segments", pa.list_(pa.struct([*_SPAN, ("text", pa.string()), ("risk", pa.float64())]))),
        ("speech", pa.float64()),
        ("evidence", pa.float64()),
        ("risk", pa.float64()),
        ("reference", pa.string()),
        ("tar", pa.string()),
        ("error", pa.string()),
        ("key", pa.string()),
        ("mark", pa.string()),
    ]
)
"""Fields of a row. Times are seconds; those of spans and segments count from ``offset`` on. ``duration``: what was
listened to. ``speech``: seconds in spans. ``evidence``: the strongest of the spans, a logit. ``risk``: the highest of
the segments, the probability that nobody said it. ``reference``: the text that INPUT gave. ``error``: why there is no
text."""


class Parts:
    """The finished parts of an archive's folder."""

    def __init__(self, out: Path) -> None:
        self.folder = out / PARTS
        self.folder.mkdir(exist_ok=True)

    def write(self, rows: Sequence[Row]) -> Path:
        """Add a part. Raises `OSError`, for instance where the disk is full."""
        numbers = [int(path.stem) for path in self.paths()]
        path = self.folder / f"{max(numbers, default=-1) + 1:08d}.parquet"
        sink = pa.BufferOutputStream()
        pq.write_table(table_of(rows), sink)
        write_whole(path, sink.getvalue().to_pybytes())
        return path

    def paths(self) -> list[Path]:
        """In the order in which they were finished."""
        return sorted(path for path in self.folder.glob("*.parquet") if path.stem.isdigit())

    def standing(self) -> Iterator[tuple[Path, list[Row] | None]]:
        """For each part its rows, with no more than ``key``, ``mark`` and ``error``; None where it cannot be read, as
        after the power failed."""
        for path in self.paths():
            try:
                table = pq.read_table(path, columns=["key", "mark", "error"], partitioning=None)
            except (pa.ArrowException, OSError):
                yield path, None
            else:
                yield path, table.to_pylist()

    @staticmethod
    def read(path: Path) -> list[Row]:
        rows: list[Row] = pq.read_table(path, partitioning=None).to_pylist()
        return rows

    def tidy(self) -> None:
        """Remove what a killed run left behind."""
        for path in self.folder.glob(".*.tmp"):
            path.unlink()


def table_of(rows: Sequence[Row]) -> Any:
    """Rows as a table of `SCHEMA`; what a row lacks is null."""
    return pa.Table.from_pylist([{name: row.get(name) for name in SCHEMA.names} for row in rows], SCHEMA)


__all__ = ["PARTS", "SCHEMA", "Parts", "table_of"]
