"""Calibrate on half of the speakers, look at the other half, many times: what is left out against what was promised.

A random division of a fixed set of speakers makes the two halves exchangeable, whatever the speakers are. So the mean
over divisions of what is left out has to stay below the promise where the calibration is valid: the only error is
that of the number of divisions. What counts on the other half is the next speaker's loss: the mean over speakers of
the mean over each one's windows.

Four ways to calibrate: one window a speaker of the stratum; every clip of the stratum, or every second of speech in it,
as if each were a speaker; and one window a speaker of all speech as recorded, whatever the stratum: one level for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from whisper_steer.gate.spans import STEP_SECONDS
from whisper_steer.gate.strata import Utterance

THRESHOLDS = 1500
QUANTILES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""of an utterance's evidence: where thresholds are tried"""

Losses = npt.NDArray[np.float32]
"""(windows, thresholds), from the first threshold, where nothing is left out"""
Chosen = npt.NDArray[np.float32]
"""0 and 1 of speakers or windows, a row a division"""


@dataclass(frozen=True)
class Windows:
    """The losses of windows, and who speaks in them."""

    losses: Losses
    speaker: npt.NDArray[np.int64]
    """(windows,) numbers of the speakers"""
    seconds: npt.NDArray[np.float32]
    """(windows,) of speech, whole ones and at least one"""

    def some(self, chosen: npt.NDArray[np.bool_]) -> Windows:
        """Those for which ``chosen`` (windows,) is true."""
        return Windows(self.losses[chosen], self.speaker[chosen], self.seconds[chosen])

    def by_speaker(self, speakers: int) -> Losses:
        """The mean losses of each of so many speakers: (speakers, thresholds); 0 of those who are not there."""
        belongs = np.zeros((speakers, len(self.speaker)), np.float32)
        belongs[self.speaker, np.arange(len(self.speaker))] = 1
        return np.asarray(belongs @ self.losses / np.maximum(belongs.sum(axis=1, keepdims=True), 1))

    def one_each(self, first: Chosen, rng: np.random.Generator) -> Chosen:
        """(divisions, windows): one window of each speaker in ``first`` (divisions, speakers), drawn anew each time."""
        chosen = np.zeros((len(first), len(self.speaker)), np.float32)
        for speaker in np.unique(self.speaker):
            own = np.flatnonzero(self.speaker == speaker)
            drawn = own[rng.integers(len(own), size=len(first))]
            chosen[np.arange(len(first)), drawn] = first[:, speaker]
        return chosen


@dataclass(frozen=True)
class Realised:
    """What was left out over the divisions in which the promise could be made."""

    mean: float
    low: float
    high: float
    """95 % of the mean, by the spread over divisions"""
    divisions: int
    n: float
    """windows that calibrated, in the mean"""


def thresholds_of(utterances: Sequence[Utterance]) -> npt.NDArray[np.float32]:
    """Where losses are looked at: rising, from the weakest step of all on."""
    found = np.unique(np.concatenate([np.quantile(each.heard, QUANTILES) for each in utterances]))
    places = np.linspace(0, len(found) - 1, min(THRESHOLDS, len(found))).astype(int)
    return np.asarray(found[places], np.float32)


def windows_of(utterances: Sequence[Utterance], thresholds: npt.NDArray[np.float32]) -> Windows:
    """Losses of every utterance at every threshold; speakers numbered in the order of their names."""
    names = {name: i for i, name in enumerate(sorted({each.speaker for each in utterances}))}
    losses = [
        np.searchsorted(np.sort(each.heard), thresholds, side="left") / len(each.heard) for each in utterances
    ]
    seconds = [max(1, round(len(each.heard) * STEP_SECONDS)) for each in utterances]
    speakers = np.array([names[each.speaker] for each in utterances])
    return Windows(np.array(losses, np.float32), speakers, np.array(seconds, np.float32))


def kept(chosen: Chosen, losses: Losses, promises: Sequence[float]) -> list[npt.NDArray[np.int64]]:
    """For each promise, the places of the largest thresholds that keep it (`gate.conformal`), one a division; -1: n is
    too small.

    ``chosen`` (divisions, windows): as how many each calibrates, 0 for the others.
    """
    n = chosen.sum(axis=1, keepdims=True)
    risk = (chosen @ losses + 1) / (n + 1)
    return [np.asarray((risk <= promise + 1e-6).sum(axis=1) - 1) for promise in promises]


def realised(
    next_one: npt.NDArray[np.floating[Any]], chosen: Chosen, places: npt.NDArray[np.int64]
) -> Realised | None:
    """Over divisions; None where the promise could be made in none. ``next_one`` (divisions or 1, thresholds)."""
    made = places >= 0
    if not made.any():
        return None
    found = np.broadcast_to(next_one, (len(places), next_one.shape[1]))[made, places[made]]
    half = 1.96 * float(np.std(found, ddof=1)) / len(found) ** 0.5 if len(found) > 1 else float("nan")
    mean = float(found.mean())
    return Realised(mean, mean - half, mean + half, len(found), float(chosen[made].sum(axis=1).mean()))


def divided(speakers: int, divisions: int, rng: np.random.Generator) -> Chosen:
    """(divisions, speakers): 1 for those of the first half."""
    order = np.argsort(rng.random((divisions, speakers)), axis=1)
    return np.asarray(np.argsort(order, axis=1) < speakers // 2, np.float32)


WAYS = ("one window a speaker", "every clip", "every second", "as recorded, one window a speaker")


def simulate(
    everything: Windows,
    stratum: npt.NDArray[np.bool_],
    recorded: npt.NDArray[np.bool_],
    promises: Sequence[float],
    divisions: int,
    seed: int = 0,
) -> list[dict[str, Realised | None]]:
    """For each promise, each of `WAYS` in a stratum.

    ``stratum`` and ``recorded`` (windows,): which belong to it, and which are as recorded.

    Divisions without a speaker of the stratum in both halves are left out.
    """
    inside = everything.some(stratum)
    n = int(everything.speaker.max()) + 1
    there = np.bincount(inside.speaker, minlength=n) > 0
    rng = np.random.default_rng(seed)
    first = divided(n, divisions, rng)
    first = first[(first[:, there].any(axis=1)) & ((1 - first)[:, there].any(axis=1))]
    second = (1 - first) * there
    next_one = second @ inside.by_speaker(n) / second.sum(axis=1, keepdims=True)
    level = everything.some(recorded)
    all_of_them = first[:, inside.speaker]
    calibrating = (
        (inside.one_each(first, rng), inside.losses),
        (all_of_them, inside.losses),
        (all_of_them * inside.seconds, inside.losses),
        (level.one_each(first, rng), level.losses),
    )
    places = [kept(chosen, losses, promises) for chosen, losses in calibrating]
    return [
        {
            way: realised(next_one, chosen, found[i])
            for way, (chosen, _), found in zip(WAYS, calibrating, places, strict=True)
        }
        for i in range(len(promises))
    ]


def elsewhere(
    home: Windows, others: Sequence[Windows], promises: Sequence[float], divisions: int, seed: int = 0
) -> list[list[Realised | None]]:
    """Calibrated on half of the speakers at home, one window each: for each promise, what is left out of the other
    half's speech there, and of all windows of ``others``, whose losses are at the same thresholds."""
    n = int(home.speaker.max()) + 1
    rng = np.random.default_rng(seed)
    first = divided(n, divisions, rng)
    chosen = home.one_each(first, rng)
    seen = [(1 - first) @ home.by_speaker(n) / (n - n // 2)]
    for other in others:
        there = np.unique(other.speaker)
        seen.append(other.by_speaker(int(there.max()) + 1)[there].mean(axis=0, keepdims=True))
    return [
        [realised(next_one, chosen, places) for next_one in seen]
        for places in kept(chosen, home.losses, promises)
    ]
