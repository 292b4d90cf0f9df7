"""The audio whose transcripts the risk is fitted and tested on: speech in ways that Whisper errs on, and no speech.

Three splits that share no speaker, recording or noise. Every draw is fixed by the seed, and the order is random: what
has been collected at any moment is a fair sample of all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import get_args

from whisper_steer.data.clips import Audio, Clip, Split
from whisper_steer.data.splits import one_side, order_key, select, stratified
from whisper_steer.errors import DataError
from whisper_steer.eval import conditions
from whisper_steer.fit.degrade import at_speed

HARD = ("snr:0", "snr:-5", "music:0", "quiet:-40", "double speed")
"""conditions of speech; every clip comes clean and in two of them"""
SHORTEST, LONGEST = 2.0, 25.0
"""seconds of a clip of speech: more than a word; one window, of any clip"""
RECORDINGS = 8
"""with pauses, of a split"""


def material(clips: Sequence[Clip], per_split: int, seed: int = 0) -> list[Clip]:
    """Clips and recordings of all splits in a random order. ``per_split``: clean clips of speech, and of no speech.

    Speech is English with a transcript, of speakers known by name; no speech is without the classes of voices.
    Raises `DataError` where a group lies in two splits, or one of them lacks speech or sounds.
    """
    usable = [
        c
        for c in one_side(list(clips))
        if c.seconds <= LONGEST and (c.kind == "nonspeech" or _transcribed(c))
    ]
    usable = _of_one_split(usable)
    found: list[Clip] = []
    for split in get_args(Split):
        speech = _some(select(usable, "speech", split), per_split, seed)
        sounds = _some(select(usable, "nonspeech", split), per_split, seed)
        if not speech or not sounds:
            raise DataError(f"split {split!r} needs English speech with transcripts, and sounds: add some")
        found += speech + sounds
        for i, clip in enumerate(sorted(speech, key=lambda c: order_key(c, seed + 1))):
            for k in (i, i + 1 + i // len(HARD) % (len(HARD) - 1)):
                found += _harder(HARD[k % len(HARD)], clip, sounds, seed)
        made = conditions.apply([f"recordings:pauses:{RECORDINGS}"], [*speech, *sounds], None, seed)
        found += [replace(clip, id=f"{split}/{clip.id}") for clip in made]
    return sorted(found, key=lambda clip: order_key(clip, seed))


def _transcribed(clip: Clip) -> bool:
    english = clip.kind == "speech" and bool(clip.text) and clip.language == "en"
    return english and clip.seconds >= SHORTEST


def _some(clips: list[Clip], n: int, seed: int) -> list[Clip]:
    """At most n, of all data sets alike, of as many groups as can be."""
    datasets = {clip.dataset for clip in clips}
    limit = -(-n // max(1, len(datasets)))
    while len(some := stratified(clips, limit, seed)) < min(n, len(clips)):
        limit += max(1, (n - len(some)) // max(1, len(datasets)))
    return sorted(some, key=lambda clip: order_key(clip, seed))[:n]


def _of_one_split(clips: list[Clip]) -> list[Clip]:
    """Without data sets whose groups lie in several splits."""
    splits: dict[str, set[str]] = {}
    for clip in clips:
        splits.setdefault(clip.group, set()).add(clip.split)
    shared = {clip.dataset for clip in clips if len(splits[clip.group]) > 1}
    return [clip for clip in clips if clip.dataset not in shared]


def _harder(name: str, clip: Clip, sounds: list[Clip], seed: int) -> list[Clip]:
    if name == "double speed":
        return [clip.derived(name, partial(_fast, clip), seconds=clip.seconds / 2)]
    return conditions.apply([name], [clip, *sounds], None, seed)


def _fast(clip: Clip) -> Audio:
    return at_speed(clip.samples(), 2.0)


__all__ = ["HARD", "material"]
