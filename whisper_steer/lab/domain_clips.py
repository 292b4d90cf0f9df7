"""Clips of speech, music and environment: the three domains of arXiv 2602.05027."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Literal, get_args

from whisper_steer.data.clips import Clip, Split
from whisper_steer.data.load import load
from whisper_steer.data.recordings import is_music
from whisper_steer.data.splits import order_key
from whisper_steer.errors import DataError

Domain = Literal["speech", "music", "environment"]
DOMAINS: tuple[Domain, ...] = get_args(Domain)


def domain_of(clip: Clip) -> Domain | None:
    """Music is what `is_music` says, environment all other non-speech; None for what holds a voice all the same, and
    for recordings, which are speech and pauses by turns."""
    if clip.kind == "speech":
        return "speech"
    if clip.kind == "recording" or clip.voice:
        return None
    return "music" if is_music(clip) else "environment"


def domain_clips(data: Iterable[str], split: Split, limit: int, seed: int = 0) -> list[Clip]:
    """At most ``limit`` clips of each domain, of one split of ``KIND:PATH`` data, the same for every run.

    They are taken in turn from data sets, and within each from groups. Raises `DataError` where there are none.
    """
    clips = [clip for spec in data for clip in load(spec) if clip.split == split]
    chosen = [
        clip
        for domain in DOMAINS
        for clip in spread([c for c in clips if domain_of(c) == domain], seed)[:limit]
    ]
    if not chosen:
        raise DataError(f"no clips of speech, music or environment in split {split!r}: add --data")
    return chosen


def spread(clips: list[Clip], seed: int) -> list[Clip]:
    """All of them in an order of which every beginning holds data sets, and within them groups, as evenly as can be."""
    in_group: Counter[tuple[str, str]] = Counter()
    by_dataset: dict[str, list[tuple[int, str, Clip]]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: order_key(clip, seed)):
        by_dataset[clip.dataset].append((in_group[clip.dataset, clip.group], order_key(clip, seed), clip))
        in_group[clip.dataset, clip.group] += 1
    turns = []
    for members in by_dataset.values():
        members.sort(key=lambda member: member[:2])
        turns += [(place, key, clip) for place, (_, key, clip) in enumerate(members)]
    return [clip for _, _, clip in sorted(turns, key=lambda turn: turn[:2])]


__all__ = ["DOMAINS", "Domain", "domain_clips", "domain_of", "spread"]
