"""What a probe is fitted on and what it is scored on: never the same speaker or source recording on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import LeaveOneGroupOut

from whisper_steer.data.clips import Clip
from whisper_steer.data.splits import order_key
from whisper_steer.errors import DataError


@dataclass
class HoldOut:
    """How the examples are divided."""

    folds: list[tuple[np.ndarray, np.ndarray]]
    """indices (int64) to fit on and to score, of each fold"""
    units: np.ndarray
    """(n,) str: what an interval resamples: the group, or the clip where a class is one group"""
    how: str
    """in words, for the table"""

    def used(self) -> tuple[np.ndarray, HoldOut]:
        """The examples that take part (m,) int64, and the same division of those alone."""
        rows = np.unique(np.concatenate([part for fold in self.folds for part in fold]))
        folds = [(np.searchsorted(rows, fit), np.searchsorted(rows, score)) for fit, score in self.folds]
        return rows, HoldOut(folds, self.units[rows], self.how)


def hold_out(clips: Sequence[Clip], classes: np.ndarray, leave_one_out: bool = False) -> HoldOut:
    """Divide clips of ``classes`` (n,) str.

    Fitted on the split `fit` and scored on `test`, without the clips to fit on whose group is scored too. A class that
    is one group throughout (a speaker; a language of one voice) is divided by clip, half and half, and ``how`` says so:
    such a figure cannot tell the class from its voice. ``leave_one_out``: every group is scored by what was fitted
    on all others. Raises `DataError` where a class cannot be on both sides.
    """
    groups = np.array([clip.group for clip in clips])
    if leave_one_out:
        return _each_left_out(classes, groups)
    single = {name for name in np.unique(classes) if len(np.unique(groups[classes == name])) == 1}
    alone = np.isin(classes, list(single))
    second = np.zeros(len(clips), bool)
    for name in single:
        members = np.flatnonzero(classes == name)
        members = members[np.argsort([order_key(clips[int(i)], 0) for i in members])]
        second[members[1::2]] = True
    split = np.array([clip.split for clip in clips])
    scored = np.where(alone, second, split == "test")
    fitted = np.where(alone, ~second, split == "fit")
    fitted &= alone | ~np.isin(groups, groups[scored & ~alone])
    both = np.isin(classes, np.intersect1d(classes[fitted], classes[scored]))
    if len(np.unique(classes[both])) < 2:
        raise DataError(
            "fewer than two classes have clips of other groups to be scored on: pass --leave-one-group-out"
        )
    how = "split test, groups of its own" if len(single) < len(np.unique(classes)) else ""
    if single:
        listed = ", ".join(sorted(single)[:6]) + (", ..." if len(single) > 6 else "")
        how += ("; " if how else "") + f"other clips of the same group (one group a class: {listed})"
    if dropped := sorted(set(classes) - set(classes[both])):
        how += f"; left out, on one side only: {', '.join(dropped)}"
    units = np.where(alone, np.array([clip.id for clip in clips]), groups)
    return HoldOut([(np.flatnonzero(fitted & both), np.flatnonzero(scored & both))], units, how)


def _each_left_out(classes: np.ndarray, groups: np.ndarray) -> HoldOut:
    if len(np.unique(groups)) < 2:
        raise DataError("all clips are of one group: there is none to leave out")
    folds = []
    for fit, score in LeaveOneGroupOut().split(classes, classes, groups):
        score = score[np.isin(classes[score], classes[fit])]
        if len(score) and len(np.unique(classes[fit])) > 1:
            folds.append((fit, score))
    scored = np.concatenate([score for _, score in folds]) if folds else np.array([], int)
    if missing := sorted(set(classes) - set(classes[scored])):
        raise DataError(f"only one group has {', '.join(missing)}: it cannot be left out")
    return HoldOut(folds, groups, f"each of {len(folds)} groups in turn")
