"""What was told about a stream against where somebody speaks in it.

An utterance lasts from its first spoken frame to its last. It is heard by the stretches told "speech" that overlap it,
or begin within `LATE` behind it; none: it is missed. Its start is told when the first of them begins, its end when the
last of them ends; delays are from the true moment to the telling. A start told more than `EARLY` before the utterance
has no delay (it is a false start, or the end before it was never told), nor has an end told before the true one.
Further stretches within an utterance are splits. All other starts are false, of the pause in which they are told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import FRAME_SAMPLES, spoken_frames
from whisper_steer.data.recordings import Part, Script

FRAME_SECONDS = FRAME_SAMPLES / 16000
EARLY = 0.3
"""seconds by which a start may precede the labels' first spoken frame"""
LATE = 1.0
"""seconds behind an utterance within which its start may still be told"""

Stretch = tuple[float, float]
"""seconds: start and end"""


@dataclass
class Score:
    """What one recording contributes."""

    starts: list[float] = field(default_factory=list)
    """delays in seconds"""
    ends: list[float] = field(default_factory=list)
    utterances: int = 0
    missed: int = 0
    early_ends: int = 0
    splits: int = 0
    false_starts: dict[str, int] = field(default_factory=dict)
    """filling of the pause -> how many"""
    pauses: dict[str, int] = field(default_factory=dict)
    pauses_started: dict[str, int] = field(default_factory=dict)
    """pauses with a false start"""
    hours: dict[str, float] = field(default_factory=dict)
    """of pauses, without what lies `EARLY` before an utterance or `LATE` behind it"""


def utterances(script: Script, clips: dict[str, Clip]) -> list[Stretch]:
    """From the first to the last spoken frame of each utterance, by `spoken_frames` of its clean clip."""
    found = []
    for part in script.utterances:
        spoken = np.flatnonzero(spoken_frames(clips[part.clip or ""].samples()))
        if len(spoken):
            start = part.start + spoken[0] * FRAME_SECONDS
            found.append((start, part.start + (spoken[-1] + 1) * FRAME_SECONDS))
    return found


def score(told: Sequence[Stretch], spoken: Sequence[Stretch], pauses: Sequence[Part]) -> Score:
    """``told``: from each start's telling to its end's; the last may end with the recording."""
    found = Score(utterances=len(spoken))
    for start, end in spoken:
        over = [each for each in told if each[0] < end + LATE and each[1] > start]
        if not over:
            found.missed += 1
            continue
        found.splits += len(over) - 1
        if over[0][0] >= start - EARLY:
            found.starts.append(max(0.0, over[0][0] - start))
        if over[-1][1] >= end:
            found.ends.append(over[-1][1] - end)
        else:
            found.early_ends += 1
    false = [at for at, _ in told if not any(a - EARLY <= at < b + LATE for a, b in spoken)]
    for pause in pauses:
        kind = pause.filling or ""
        here = sum(pause.start <= at < pause.end for at in false)
        near = [min(b + LATE, pause.end) - max(a - EARLY, pause.start) for a, b in spoken]
        seconds = max(0.0, pause.end - pause.start - sum(each for each in near if each > 0))
        for column, value in (
            (found.false_starts, here),
            (found.pauses, 1),
            (found.pauses_started, int(here > 0)),
            (found.hours, seconds / 3600),
        ):
            column[kind] = column.get(kind, 0) + value  # type: ignore[assignment]
    return found
