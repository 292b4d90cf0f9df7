"""From finished parts to manifests: which rows stand for which source, and one JSONL and one Parquet file of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from whisper_steer.archive.parts import SCHEMA, Parts, table_of
from whisper_steer.archive.sources import Source
from whisper_steer.archive.work import Row
from whisper_steer.files.output import moved_into

JSONL, PARQUET, ERRORS = "manifest.jsonl", "manifest.parquet", "errors.jsonl"
OURS = ("key", "mark", "error")
"""fields of parts that manifests do not have"""


@dataclass
class Standing:
    """What finished parts say about the sources of INPUT as it is now."""

    holder: dict[str, Path] = field(default_factory=dict)
    """key of a source -> the last part that holds its rows"""
    failed: set[str] = field(default_factory=set)
    """keys of which nothing could be made"""
    outdated: set[str] = field(default_factory=set)
    """keys that parts hold, but of another file or line than INPUT has now"""
    gone: set[str] = field(default_factory=set)
    """keys that parts hold and INPUT has no more"""
    damaged: list[Path] = field(default_factory=list)
    """parts that cannot be read"""

    def todo(self, sources: Sequence[Source]) -> list[tuple[int, Source]]:
        """The sources that have no rows yet or only an error, with their places in INPUT."""
        return [
            (place, source)
            for place, source in enumerate(sources)
            if source.key not in self.holder or source.key in self.failed
        ]


def standing(parts: Parts, sources: Sequence[Source]) -> Standing:
    """Look through all parts."""
    marks = {source.key: source.mark for source in sources}
    found = Standing()
    for path, rows in parts.standing():
        if rows is None:
            found.damaged.append(path)
            continue
        current = {row["key"] for row in rows if marks.get(row["key"]) == row["mark"]}
        found.holder |= dict.fromkeys(current, path)
        found.failed -= current
        found.failed |= current - {row["key"] for row in rows if row["error"] is None}
        others = {row["key"] for row in rows} - current
        found.gone |= others - marks.keys()
        found.outdated |= others & marks.keys()
    found.outdated -= found.holder.keys()
    return found


@dataclass
class Totals:
    """What manifests hold."""

    recordings: int = 0
    seconds: float = 0.0
    speech: float = 0.0
    bad: int = 0


def write_manifests(out: Path, parts: Parts, sources: Sequence[Source]) -> Totals:
    """Write `JSONL`, `PARQUET` and `ERRORS` into ``out`` from all parts, in the order of INPUT, part by part.

    Each is the old file or the whole new one. Raises `OSError`.
    """
    found = standing(parts, sources)
    place = {source.key: number for number, source in enumerate(sources)}
    first: dict[Path, int] = {}
    for key, path in found.holder.items():
        first[path] = min(first.get(path, len(place)), place[key])
    marks = {source.key: source.mark for source in sources}
    totals = Totals()
    schema = pa.schema([each for each in SCHEMA if each.name not in OURS])
    with (
        moved_into(out) as folder,
        (folder / JSONL).open("w", encoding="utf-8") as good,
        (folder / ERRORS).open("w", encoding="utf-8") as bad,
        pq.ParquetWriter(folder / PARQUET, schema) as table,
    ):
        for path in sorted(first, key=first.__getitem__):
            rows = [
                r
                for r in parts.read(path)
                if found.holder.get(r["key"]) == path and marks[r["key"]] == r["mark"]
            ]
            fine = [row for row in rows if row["error"] is None]
            good.writelines(_line(row, OURS) for row in fine)
            bad.writelines(_line(row, OURS[:2]) for row in rows if row["error"] is not None)
            if fine:
                table.write_table(table_of(fine).select(schema.names))
            totals.recordings += len(fine)
            totals.bad += len(rows) - len(fine)
            totals.seconds += sum(row["duration"] for row in fine)
            totals.speech += sum(row["speech"] or 0.0 for row in fine)
    return totals


def _line(row: Row, without: Sequence[str]) -> str:
    told = {name: value for name, value in row.items() if value is not None and name not in without}
    return json.dumps(told, ensure_ascii=False) + "\n"


__all__ = ["ERRORS", "JSONL", "PARQUET", "Standing", "Totals", "standing", "write_manifests"]
