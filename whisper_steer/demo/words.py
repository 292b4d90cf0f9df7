"""Which written words were said, and which were invented.

What a system wrote is aligned, word by word, with what is said in the recording. A written word may stand for a said
one only where its segment lies within `SLACK` seconds of that stretch of speech; what stands for none is invented.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

SLACK = 2.0
"""seconds by which a segment's times may be off"""


@dataclass(frozen=True)
class Stretch:
    """A part of the recording: speech where it has a text, else a sound."""

    start: float
    end: float
    text: str | None
    label: str | None


@dataclass(frozen=True)
class Written:
    """A segment, with one flag for each of its words: was it invented?"""

    start: float
    end: float
    words: tuple[str, ...]
    invented: tuple[bool, ...]
    stretch: int
    """index of the stretch that it belongs to"""

    @property
    def text(self) -> str:
        return " ".join(self.words)


@dataclass(frozen=True)
class Column:
    """What one system wrote."""

    segments: tuple[Written, ...]
    right: int
    """said words that it wrote, as they were said"""
    said: int
    """said words"""

    @property
    def invented(self) -> int:
        """Words that nobody said; a lone punctuation mark is none."""
        return sum(
            bool(wrong and plain(word))
            for segment in self.segments
            for word, wrong in zip(segment.words, segment.invented, strict=True)
        )


def plain(word: str) -> str:
    """A word in lower case without punctuation; empty where nothing is left."""
    return re.sub(r"[^\w]", "", word.lower())


def judge(segments: Sequence[dict[str, Any]], stretches: Sequence[Stretch]) -> Column:
    """Segments of a transcript against the recording's stretches."""
    parts = [(float(s["start"]), float(s["end"]), str(s["text"]).split()) for s in segments]
    written = [(plain(w), i) for i, (_, _, words) in enumerate(parts) for w in words if plain(w)]
    said = [(plain(w), k) for k, s in enumerate(stretches) for w in (s.text or "").split() if plain(w)]
    near = np.array([[_near(a, b, stretch) for stretch in stretches] for a, b, _ in parts], dtype=bool)
    found = _align(written, said, near)
    places: list[list[int]] = [[] for _ in parts]
    flags: list[list[bool]] = [[] for _ in parts]
    for (_, i), k in zip(written, found, strict=True):
        flags[i].append(k is None)
        if k is not None:
            places[i].append(said[k][1])
    out = []
    for (start, end, words), place, flag in zip(parts, places, flags, strict=True):
        marks = iter(flag)
        invented = tuple(next(marks) if plain(word) else not place for word in words)
        where = max(set(place), key=place.count) if place else _most_overlapped(start, end, stretches)
        if words:
            out.append(Written(start, end, tuple(words), invented, where))
    right = sum(k is not None and said[k][0] == word for (word, _), k in zip(written, found, strict=True))
    return Column(tuple(out), right, len(said))


def _near(start: float, end: float, stretch: Stretch) -> bool:
    return start - SLACK < stretch.end and stretch.start < end + SLACK


def _most_overlapped(start: float, end: float, stretches: Sequence[Stretch]) -> int:
    return max(
        range(len(stretches)), key=lambda k: min(end, stretches[k].end) - max(start, stretches[k].start)
    )


def _align(
    written: Sequence[tuple[str, int]], said: Sequence[tuple[str, int]], near: np.ndarray
) -> list[int | None]:
    """For each written word the said word that it stands for: the fewest edits, under what ``near`` allows.

    written: (word, segment); said: (word, stretch); near (segments, stretches): may they go together?
    """
    n, m = len(written), len(said)
    cost = np.zeros((n + 1, m + 1), dtype=np.int64)
    cost[:, 0], cost[0, :] = np.arange(n + 1), np.arange(m + 1)

    def both(i: int, j: int) -> int:
        """The cost of letting written word i stand for said word j."""
        if not near[written[i][1], said[j][1]]:
            return n + m
        return int(written[i][0] != said[j][0])

    for i in range(n):
        for j in range(m):
            cost[i + 1, j + 1] = min(cost[i, j] + both(i, j), cost[i, j + 1] + 1, cost[i + 1, j] + 1)
    found: list[int | None] = [None] * n
    i, j = n, m
    while i and j:
        if cost[i, j] == cost[i - 1, j - 1] + both(i - 1, j - 1):
            i, j = i - 1, j - 1
            found[i] = j
        elif cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return found
