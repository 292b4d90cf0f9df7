"""The demonstration as text: what is heard, what stock Whisper writes and what whisper-steer writes, side by side."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from itertools import groupby, zip_longest

import click

from whisper_steer.demo.run import STEERED, STOCK, Demonstration
from whisper_steer.demo.words import Column, Stretch

SMALLEST, LARGEST = 72, 120
"""columns of a terminal"""
CLOCK = 7
"""columns for the time"""


def table(shown: Demonstration, width: int) -> Iterator[str]:
    """Lines of at most ``width`` columns; what nobody said is red."""
    each = (min(max(width, SMALLEST), LARGEST) - CLOCK - 4) // 3
    yield _line(["heard", STOCK, STEERED], "", each, [False] * 3)
    yield _line(["-" * each] * 3, "", each, [False] * 3)
    for k, stretch in enumerate(shown.stretches):
        cells, wrong = [heard(stretch)], [False]
        for column in shown.columns.values():
            text, invented = wrote(column, k)
            cells.append(text or "-")
            wrong.append(invented)
        wrapped = [textwrap.wrap(cell, each) for cell in cells]
        for row, parts in enumerate(zip_longest(*wrapped, fillvalue="")):
            yield _line(list(parts), "" if row else clock(stretch.start), each, wrong)
    yield ""
    widest = max(len(name) for name in shown.columns)
    for name, column in shown.columns.items():
        yield f"{name:{widest}}  {summary(column)}"


def summary(column: Column) -> str:
    """What one system got right and wrong, in words."""
    return f"{column.invented} words written where nobody speaks; {column.right} of {column.said} spoken words right"


def wrote(column: Column, stretch: int) -> tuple[str, bool]:
    """What a system wrote for a stretch, and whether all of it was invented."""
    segments = [segment for segment in column.segments if segment.stretch == stretch]
    text = folded(" ".join(segment.text for segment in segments))
    return text, bool(segments) and all(all(segment.invented) for segment in segments)


def folded(text: str) -> str:
    """A sentence that comes again and again is written once: "Good. Good." -> "Good. (2 times)"."""
    sentences = re.split(r"(?<=[.!?])\s+", text)
    runs = [(sentence, len(list(same))) for sentence, same in groupby(sentences)]
    return " ".join(sentence if n == 1 else f"{sentence} ({n} times)" for sentence, n in runs)


def heard(stretch: Stretch) -> str:
    """What is said, in quotes, or what there is to hear, in brackets."""
    return f'"{stretch.text}"' if stretch.text else f"[{stretch.label}]"


def clock(seconds: float) -> str:
    """Minutes and seconds: 75.2 -> "1:15"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _line(cells: list[str], time: str, width: int, wrong: list[bool]) -> str:
    padded = [cell.ljust(width) for cell in cells]
    padded[-1] = padded[-1].rstrip()
    styled = [click.style(c, fg="red") if w else c for c, w in zip(padded, wrong, strict=True)]
    return f"{time:{CLOCK}}" + "  ".join(styled)
