"""Splits and samples of clips: everything is fitted on `fit`, chosen on `choose`, reported on `test`.

One rule draws a split where a data set has none of its own, for `whisper-steer fit` and for the benchmark: what one
has fitted on, the other does not report on.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import get_args

from whisper_steer.data.clips import Clip, Kind, Split


def split_of(group: str) -> Split:
    """Half of the groups to ``fit``, a fifth to ``choose``, the rest to ``test``; fixed by the group's name."""
    place = zlib.crc32(f"split:{group}".encode()) % 10
    return "fit" if place < 5 else "choose" if place < 7 else "test"


def one_side(clips: list[Clip]) -> list[Clip]:
    """Without the clips whose source recording, told by its Freesound number, lies in a later split as well.

    UrbanSound8K and ESC-50 were both cut from Freesound, some from the same recordings. `test` keeps its clips.
    """
    splits: dict[str, set[str]] = {}
    for clip in clips:
        if number := _freesound(clip):
            splits.setdefault(number, set()).add(clip.split)
    last = {number: max(found, key=get_args(Split).index) for number, found in splits.items()}
    return [clip for clip in clips if last.get(_freesound(clip) or "", clip.split) == clip.split]


def _freesound(clip: Clip) -> str | None:
    number = clip.group.rpartition("/")[2]
    return number if clip.kind == "nonspeech" and number.isdigit() else None


def halves(clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Clips divided by speaker or source recording, every data set by itself, in an order fixed by their names.

    A data set of one speaker goes to the second half whole.
    """
    groups: dict[str, list[str]] = {}
    for dataset, group in sorted({(c.dataset, c.group) for c in clips}, key=lambda pair: _hash(pair[1])):
        groups.setdefault(dataset, []).append(group)
    first = {(dataset, group) for dataset, found in groups.items() for group in found[1::2]}
    return [c for c in clips if (c.dataset, c.group) in first], [
        c for c in clips if (c.dataset, c.group) not in first
    ]


def unfitted(chosen: list[Clip], clips: list[Clip]) -> list[Clip]:
    """Without the clips of speakers or source recordings of whom others lie in the `fit` split of ``clips``."""
    fitted = {(clip.dataset, clip.group) for clip in clips if clip.split == "fit"}
    return [clip for clip in chosen if (clip.dataset, clip.group) not in fitted]


def select(clips: list[Clip], kind: Kind, split: Split) -> list[Clip]:
    """Clips of one kind and split, without the classes that hold human voice."""
    return [c for c in clips if c.kind == kind and c.split == split and not c.voice]


def order_key(clip: Clip, seed: int) -> str:
    """A fixed pseudo-random order: the same for every run with that seed, whatever else is in the run."""
    return _hash(f"{seed}:{clip.id}")


def stratified(clips: list[Clip], limit: int | None, seed: int) -> list[Clip]:
    """At most ``limit`` clips of each (data set, voice), spread evenly over groups; ``limit`` None takes all."""
    if limit is None:
        return clips
    strata: dict[tuple[str, bool], dict[str, list[Clip]]] = {}
    for clip in sorted(clips, key=lambda clip: order_key(clip, seed)):
        strata.setdefault((clip.dataset, clip.voice), {}).setdefault(clip.group, []).append(clip)
    chosen: set[str] = set()
    for groups in strata.values():
        turns = [(rank, clip) for members in groups.values() for rank, clip in enumerate(members)]
        turns.sort(key=lambda turn: (turn[0], order_key(turn[1], seed)))
        chosen |= {clip.id for _, clip in turns[:limit]}
    return [clip for clip in clips if clip.id in chosen]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = ["halves", "one_side", "order_key", "select", "split_of", "stratified", "unfitted"]
