"""Streams in which nobody speaks at all: one sound behind the other, as they were recorded."""

from __future__ import annotations

from functools import partial

import numpy as np

from whisper_steer.data.clips import Audio, Clip, Split
from whisper_steer.data.recordings import SAMPLE_RATE, Part, Script
from whisper_steer.errors import DataError

SECONDS = 180.0
"""of a stream, or up to a clip more"""
LONGEST = 30.0
"""seconds of a clip"""


def sounds(clips: list[Clip], n: int, seed: int, split: Split) -> list[Clip]:
    """``n`` streams, or as many as there are sounds for, of a split's clips without voice, each of them once.

    ``extra`` holds the `Script`: pauses that are filled with a data set. Raises `DataError` where there are none.
    """
    quiet = [c for c in clips if c.kind == "nonspeech" and not c.voice and c.split == split and c.seconds]
    order = [quiet[i] for i in np.random.default_rng(seed).permutation(len(quiet))]
    made: list[Clip] = []
    while order and len(made) < n:
        chosen: list[Clip] = []
        parts: list[Part] = []
        place = 0.0
        while order and place < SECONDS:
            clip = order.pop()
            end = place + min(clip.seconds, LONGEST)
            parts.append(Part(place, end, filling=clip.dataset, clip=clip.id))
            chosen.append(clip)
            place = end
        name = f"sounds/{len(made)}"
        source = partial(_joined, tuple(chosen))
        extra = Script(tuple(parts)).to_dict()
        made.append(Clip("recording", split, name, source, "sounds", id=name, seconds=place, extra=extra))
    if not made:
        raise DataError(f"streams without speech need clips of non-speech in split {split!r}: add some")
    return made


def _joined(clips: tuple[Clip, ...]) -> Audio:
    return np.concatenate([clip.samples()[: round(LONGEST * SAMPLE_RATE)] for clip in clips])
