"""Parts: runs of sources that one worker does at a time, of about so many seconds of audio."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from whisper_steer.archive.sources import Source

MOST = 1000
"""sources in a part, where they are short or their length is not known"""


@dataclass(frozen=True)
class Part:
    """What a worker does at a time. All of it is written, or none."""

    sources: tuple[Source, ...]
    deaths: int = 0
    """workers that ended while they did it"""

    @property
    def seconds(self) -> float:
        """Of audio, as far as it is known before it is read."""
        return sum(source.seconds for source in self.sources)


def cut(places: Iterable[tuple[int, Source]], seconds: float) -> Iterator[Part]:
    """Parts of at most ``seconds`` of audio, or of one source that has more. A tar is a part of its own.

    places: sources with their place in INPUT. A part never reaches over a gap, so that parts can be put in order.
    """
    held: list[Source] = []
    total, behind = 0.0, 0
    for place, source in places:
        full = total + source.seconds > seconds or len(held) == MOST
        if held and (full or place != behind or source.is_tar or held[-1].is_tar):
            yield Part(tuple(held))
            held, total = [], 0.0
        held.append(source)
        total, behind = total + source.seconds, place + 1
    if held:
        yield Part(tuple(held))


def after_a_death(part: Part) -> list[Part]:
    """What to do with a part whose worker ended: halves of it, once more for a single source, else nothing."""
    if len(part.sources) > 1:
        middle = len(part.sources) // 2
        return [Part(part.sources[:middle]), Part(part.sources[middle:])]
    return [Part(part.sources, deaths=1)] if not part.deaths else []


__all__ = ["Part", "after_a_death", "cut"]
