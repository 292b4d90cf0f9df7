"""Strata of speech: what the promise is made for one by one, and the threshold that each of them would need.

A promise over all speech can hold in the mean and be broken for the few who are far from the microphone. Here each
stratum is calibrated by itself (group-conditional, "Mondrian" conformal prediction: Vovk, Lindsay, Nouretdinov and
Gammerman 2003; as a risk, arXiv 2208.02814): on one window a speaker. Windows of one speaker are alike, so that as
many of them as one likes say little about the next speaker; one from each is exchangeable with the next speaker's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from whisper_steer.gate.conformal import conformal_threshold, loss_curve, smallest_promise
from whisper_steer.gate.spans import Evidence

CLEAN, ONE_WORD, NOISY, FAR, LANGUAGE = "clean", "one word", "noisy", "far", "language"
"""as recorded with a second of speech or more, and with less; in noise; from afar; of a language, as recorded"""
ONE_WORD_SECONDS = 1.0


@dataclass(frozen=True, eq=False)
class Utterance:
    """A window in which somebody speaks, and what a gate made of it."""

    speaker: str
    strata: tuple[str, ...]
    """those it belongs to"""
    heard: Evidence
    """`whisper_steer.gate.spans.audible` at its spoken steps; not empty"""

    def loss(self, threshold: float) -> float:
        """The share of its spoken steps that lie outside of the spans there."""
        return float((self.heard < threshold).mean())


@dataclass(frozen=True)
class Stratum:
    """What the calibration of one stratum can say."""

    stratum: str
    windows: int
    speakers: int
    """as many windows calibrate, one of each"""
    promise: float
    """the one asked for, or the smallest that so many speakers can carry where that is more"""
    threshold: float
    """the largest that keeps it"""
    left_out: float
    """mean share of speech left out at the threshold in use"""
    keeps: bool
    """whether the threshold in use is no higher"""


def names(strata: Iterable[tuple[str, ...]]) -> list[str]:
    """The strata that occur, in the order of the constants above, languages last."""
    order = [CLEAN, ONE_WORD, NOISY, FAR]
    found = {name for some in strata for name in some}
    return [*(name for name in order if name in found), *sorted(found - set(order))]


def one_a_speaker(utterances: Sequence[Utterance], rng: np.random.Generator) -> list[Utterance]:
    """One utterance of each speaker, drawn; speakers in the order of their names."""
    by_speaker: dict[str, list[Utterance]] = {}
    for each in utterances:
        by_speaker.setdefault(each.speaker, []).append(each)
    return [by_speaker[name][int(rng.integers(len(by_speaker[name])))] for name in sorted(by_speaker)]


def calibrated(
    utterances: Sequence[Utterance], promise: float, in_use: float, seed: int = 0
) -> list[Stratum]:
    """Each stratum by itself, on one window a speaker. ``in_use``: the threshold to judge (a logit)."""
    found = []
    for name in names(each.strata for each in utterances):
        inside = [each for each in utterances if name in each.strata]
        chosen = one_a_speaker(inside, np.random.default_rng(seed))
        n = len(chosen)
        kept = max(promise, smallest_promise(n))
        needed = conformal_threshold(loss_curve([each.heard for each in chosen]), n, kept)
        left_out = float(np.mean([each.loss(in_use) for each in chosen]))
        found.append(Stratum(name, len(inside), n, kept, needed, left_out, in_use <= needed))
    return found


def rows(strata: Iterable[Stratum]) -> list[dict[str, Any]]:
    """For a card: rounded."""
    return [
        {key: round(value, 5) if isinstance(value, float) else value for key, value in asdict(each).items()}
        for each in strata
    ]
