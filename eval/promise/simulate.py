"""Calibrate on half of the speakers, look at the other half, many times: what is left out against what was promised.

A random division of a fixed set of speakers makes the two halves exchangeable, whatever the speakers are. So the mean
over divisions of what is left out has to stay below the promise where the calibration is valid: the only error is
that of the number of divisions. What counts on the other half is the next speaker's loss: the mean over speakers of
the mean over each one's windows.

Three ways to calibrate: one window a speaker of the stratum; all windows of the stratum, as if each were a speaker;
and one window a speaker of all speech, whatever its stratum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from whisper_steer.gate.strata import Utterance

THRESHOLDS = 1500
QUANTILES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""of an utterance's evidence: where thresholds are tried"""

Losses = npt.NDArray[np.float32]
"""(windows, thresholds), from the first threshold, where nothing is left out"""


@dataclass(frozen=True)
class Windows:
    """The losses of windows, and who speaks in them."""

    losses: Losses
    speaker: npt.NDArray[np.int64]
    """(windows,) numbers of the speakers"""

    def of(self, chosen: npt.NDArray[np.bool_]) -> Windows:
        """Some of them, by speaker: ``chosen`` (all speakers,)."""
        inside = chosen[self.speaker]
        return Windows(self.losses[inside], self.speaker[inside])

    def one_each(self, rng: np.random.Generator) -> Losses:
        """The losses of one window of each speaker, drawn."""
        order = rng.permutation(len(self.speaker))
        return self.losses[order[np.unique(self.speaker[order], return_index=True)[1]]]

    def by_speaker(self) -> Losses:
        """The mean losses of each speaker: (speakers there are, thresholds)."""
        there, place = np.unique(self.speaker, return_inverse=True)
        sums = np.zeros((len(there), self.losses.shape[1]), np.float64)
        np.add.at(sums, place, self.losses)
        return np.asarray(sums / np.bincount(place)[:, None], np.float32)


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
    return Windows(np.array(losses, np.float32), np.array([names[each.speaker] for each in utterances]))


def kept(losses: Losses, promise: float) -> int | None:
    """The place of the largest threshold that keeps the promise (`gate.conformal`); None where n is too small."""
    n = len(losses)
    if promise < 1 / (n + 1):
        return None
    return int(((losses.mean(axis=0, dtype=np.float64) * n + 1) / (n + 1) <= promise + 1e-9).sum()) - 1


def realised(left_out: Sequence[float], n: Sequence[int]) -> Realised | None:
    """Over divisions; None where the promise could be made in none."""
    if not left_out:
        return None
    mean = float(np.mean(left_out))
    half = (
        1.96 * float(np.std(left_out, ddof=1)) / len(left_out) ** 0.5 if len(left_out) > 1 else float("nan")
    )
    return Realised(mean, mean - half, mean + half, len(left_out), float(np.mean(n)))


WAYS = ("one window a speaker", "all windows", "one window a speaker of all speech")


def simulate(
    everything: Windows, stratum: npt.NDArray[np.bool_], promise: float, divisions: int, seed: int = 0
) -> dict[str, Realised | None]:
    """Each of `WAYS` in a stratum: ``stratum`` (windows,) says which of the windows belong to it."""
    inside = Windows(everything.losses[stratum], everything.speaker[stratum])
    n = int(everything.speaker.max()) + 1
    rng = np.random.default_rng(seed)
    left_out: dict[str, list[float]] = {way: [] for way in WAYS}
    used: dict[str, list[int]] = {way: [] for way in WAYS}
    for _ in range(divisions):
        first = np.zeros(n, bool)
        first[rng.permutation(n)[: n // 2]] = True
        calibrating, judged = inside.of(first), inside.of(~first)
        if not len(calibrating.speaker) or not len(judged.speaker):
            continue
        of_all = everything.of(first)
        next_speaker = judged.by_speaker().mean(axis=0)
        for way, losses in zip(
            WAYS, (calibrating.one_each(rng), calibrating.losses, of_all.one_each(rng)), strict=True
        ):
            place = kept(losses, promise)
            if place is not None:
                left_out[way].append(float(next_speaker[place]))
                used[way].append(len(losses))
    return {way: realised(left_out[way], used[way]) for way in WAYS}


def elsewhere(
    home: Windows, others: Sequence[Windows], promise: float, divisions: int, seed: int = 0
) -> list[Realised | None]:
    """Calibrated on half of the speakers at home, one window each: what is left out of the other half's speech there,
    and of all windows of ``others``, whose losses are at the same thresholds."""
    n = int(home.speaker.max()) + 1
    rng = np.random.default_rng(seed)
    left_out: list[list[float]] = [[] for _ in range(1 + len(others))]
    used: list[int] = []
    means = [other.by_speaker().mean(axis=0) for other in others]
    for _ in range(divisions):
        first = np.zeros(n, bool)
        first[rng.permutation(n)[: n // 2]] = True
        chosen = home.of(first).one_each(rng)
        place = kept(chosen, promise)
        if place is None:
            continue
        used.append(len(chosen))
        for found, mean in zip(left_out, [home.of(~first).by_speaker().mean(axis=0), *means], strict=True):
            found.append(float(mean[place]))
    return [realised(found, used) for found in left_out]
