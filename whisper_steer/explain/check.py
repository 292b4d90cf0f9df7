"""How often the name heard first is what a recording was labelled: on clips that nothing was named by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from whisper_steer.data.clips import Clip
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.explain.examples import class_of
from whisper_steer.explain.names import Names
from whisper_steer.explain.stretches import heard
from whisper_steer.explain.trace import trace


@dataclass(frozen=True)
class Hits:
    """Of clips of one class, each listened to by itself and taken as one stretch."""

    names: tuple[str, ...]
    """the class, the narrowest name first"""
    clips: int
    first: int
    """the name heard first is the narrowest"""
    first_or_wider: int
    """it is one of the class's names"""
    among_three: int
    """one of the three heard first is one of the class's names"""


def hits(prefix: Prefix, names: Names, clips: Iterable[Clip]) -> list[Hits]:
    """By class. ``prefix``: the encoder up to the point of the names. Raises `AudioError`."""
    found: dict[tuple[str, ...], list[tuple[bool, bool, bool]]] = {}
    for clip in clips:
        expected, samples = class_of(clip), clip.samples()
        there = heard(trace(prefix, None, names, samples), 0.0, len(samples) / 16000)
        given = [each.name for each in there]
        row = (given[:1] == [expected[0]], bool({*given[:1]} & {*expected}), bool({*given} & {*expected}))
        found.setdefault(expected, []).append(row)
    return [
        Hits(expected, len(rows), *(sum(column) for column in zip(*rows, strict=True)))
        for expected, rows in sorted(found.items())
    ]


__all__ = ["Hits", "hits"]
