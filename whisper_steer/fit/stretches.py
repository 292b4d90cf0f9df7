"""Stretches of one kind inside labelled windows: a word or a sentence, or seconds in which nobody speaks.

A window's evidence is that of its strongest 0.2 s, so a gate should be right about the strongest 0.2 s of each stretch,
and may be unsure of the other frames of it. Learning from stretches rather than from frames asks for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import ndimage

from whisper_steer.data.labels import SPEECH
from whisper_steer.gate.kinds import FRAMES_PER_STEP, POOL_STEPS
from whisper_steer.gate.spans import runs_of

POOL_FRAMES = FRAMES_PER_STEP * POOL_STEPS
PAUSE = 25
"""frames of silence inside one stretch of speech"""
MARGIN = 3
"""frames on either side of speech that belong to its stretch"""
CLEAR = 15
"""frames between speech and a stretch without any"""
LONGEST = 200
"""frames in one stretch without speech"""
SHORTEST_SPEECH = 4
"""frames of speech in the shortest stretch of it"""


@dataclass(frozen=True)
class Stretch:
    """Frames ``start`` to ``end`` of a window, at least `POOL_FRAMES` of them."""

    start: int
    end: int
    speech: bool


def cut(labels: np.ndarray, content: int) -> list[Stretch]:
    """The stretches of one window. ``labels`` (frames,) int8; of the padding behind ``content`` there is one."""
    speech = labels == SPEECH
    found = []
    for start, end in runs_of(_closed(speech)):
        if speech[start:end].sum() >= SHORTEST_SPEECH:
            start, end = max(0, start - MARGIN), min(len(labels), end + MARGIN)
            start = min(start, len(labels) - POOL_FRAMES)
            found.append(Stretch(start, max(end, start + POOL_FRAMES), True))
    for start, end in runs_of(~_near(speech)):
        edges = [*range(start, min(end, max(content, start + 1)), LONGEST), end]
        found += [Stretch(a, b, False) for a, b in pairwise(edges) if b - a >= POOL_FRAMES]
    return found


def _closed(speech: np.ndarray) -> np.ndarray:
    padded = np.pad(speech, PAUSE)
    return np.asarray(ndimage.binary_closing(padded, iterations=PAUSE // 2)[PAUSE:-PAUSE])


def _near(speech: np.ndarray) -> np.ndarray:
    return np.asarray(ndimage.binary_dilation(speech, iterations=CLEAR))
