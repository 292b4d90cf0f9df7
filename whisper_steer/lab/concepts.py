"""Concepts to erase and to keep: one class against the rest, and the classes beside it, for clips or for frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError, UsageError
from whisper_steer.lab.classes import LEAST, class_of
from whisper_steer.lab.encoders import FRAME_SAMPLES
from whisper_steer.lab.frames import Frames
from whisper_steer.lab.hold_out import HoldOut, hold_out

QUIET = 30.0
"""decibel below the loudest frame of a clip: quieter frames are not taken for what its class says"""


@dataclass
class Concept:
    """Classes of examples."""

    name: str
    y: np.ndarray
    """(n,) classes of all examples"""
    held: HoldOut
    """the examples that have such a class, divided"""


def one_against_rest(clips: Sequence[Clip], field: str, name: str, leave_one_out: bool = False) -> Concept:
    """The clips of one class of a field against all that have another. Raises `UsageError`, `DataError`."""
    classes = np.array([class_of(clip, field) or "" for clip in clips])
    if name not in classes:
        there = ", ".join(sorted(set(classes) - {""})[:20])
        raise UsageError(f"no clip has {field} {name}; there are {there or 'none'}")
    y = np.where(classes == name, name, "rest")
    return _concept(f"{field} {name}", clips, y, classes != "", leave_one_out)


def beside(
    clips: Sequence[Clip], field: str, leave_one_out: bool = False, without: str | None = None
) -> Concept | None:
    """All classes of a field but one, told from each other; None where these are fewer than two."""
    y = np.array([class_of(clip, field) or "" for clip in clips])
    sizes = Counter(y)
    there = np.array([name not in ("", without) and sizes[name] >= LEAST for name in y])
    if len(np.unique(y[there])) < 2:
        return None
    return _concept(field, clips, y, there, leave_one_out)


def _concept(
    name: str, clips: Sequence[Clip], y: np.ndarray, there: np.ndarray, leave_one_out: bool
) -> Concept:
    rows = np.flatnonzero(there)
    try:
        held = hold_out([clips[int(i)] for i in rows], y[rows], leave_one_out)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    units = np.full(len(y), "", dtype=object)
    units[rows] = held.units
    folds = [(rows[fit], rows[score]) for fit, score in held.folds]
    return Concept(name, y, HoldOut(folds, units, held.how))


def taking_part(concepts: Sequence[Concept]) -> tuple[np.ndarray, list[Concept]]:
    """The examples that any of the concepts is fitted or scored on (m,) int64, and the concepts of those alone."""
    rows = np.unique(np.concatenate([part for each in concepts for fold in each.held.folds for part in fold]))
    return rows, [
        Concept(
            each.name,
            each.y[rows],
            HoldOut(
                [
                    (np.searchsorted(rows, fit), np.searchsorted(rows, score))
                    for fit, score in each.held.folds
                ],
                each.held.units[rows],
                each.held.how,
            ),
        )
        for each in concepts
    ]


def on_frames(concept: Concept, clip: np.ndarray) -> Concept:
    """The same of frames, each of the class of its clip; ``clip`` (m,) int64: the clip of each frame."""
    folds = [
        (np.flatnonzero(np.isin(clip, fit)), np.flatnonzero(np.isin(clip, score)))
        for fit, score in concept.held.folds
    ]
    return Concept(concept.name, concept.y[clip], HoldOut(folds, concept.held.units[clip], concept.held.how))


def sampled_frames(frames: Frames, per_clip: int, seed: int = 0) -> np.ndarray:
    """Places (m,) int64 of at most ``per_clip`` frames of each clip, drawn from those within `QUIET` of its loudest."""
    rng = np.random.default_rng(seed)
    starts = np.searchsorted(frames.clip, np.arange(len(frames.clips) + 1))
    chosen = []
    for i, clip in enumerate(frames.clips):
        first, last = int(starts[i]), int(starts[i + 1])
        samples = clip.samples()[: (last - first) * FRAME_SAMPLES]
        samples = np.pad(samples, (0, (last - first) * FRAME_SAMPLES - len(samples)))
        power = np.square(samples, dtype=np.float64).reshape(last - first, -1).mean(axis=1)
        loud = np.flatnonzero(power >= power.max() * 10 ** (-QUIET / 10))
        chosen.append(first + np.sort(rng.permutation(loud)[:per_clip]))
    return np.concatenate(chosen)
