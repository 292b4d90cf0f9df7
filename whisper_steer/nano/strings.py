"""Strings of digits as nano hears them: units laid out in time with pauses, then degraded.

`Composer.sample` draws one window of audio with the place of every word in it. Nothing here knows of tokens or models.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
import scipy.signal

from whisper_steer.nano.speech import RATE, Audio, Unit

PAUSES = ((0.02, 0.15), (0.05, 0.5), (0.1, 2.0), (0.1, 2.0), (0.3, 1.5))
"""Ranges of pauses in seconds; one is drawn per string."""
DENSE = (0.0, 0.2)
REPEATS = 0.2
"""share of the words that are said once more: by chance alone too few to learn to write both"""


@dataclass
class Placed:
    """One word in a window."""

    digit: int
    start: float
    end: float
    exact: bool = True


@dataclass
class String:
    """A window of audio and the words in it."""

    audio: Audio
    """(n,) at 16 kHz, ends a little after the last word; what follows in the window is padding."""
    words: list[Placed]
    cut: float | None = None
    """Start of a word that the end of the window cuts, if one does."""
    voices: set[str] = field(default_factory=set)


def string_units(units: list[Unit], gaps: list[float], lead: float, tail: float = 0.3) -> String:
    """Lay units out one after another, `gaps[i]` seconds of digital silence after unit i, `lead` before the first."""
    audio = np.zeros(
        round((lead + tail + sum(len(u.audio) / RATE + g for u, g in zip(units, gaps, strict=True))) * RATE)
        + 1,
        np.float32,
    )
    words, at = [], lead
    for unit, gap in zip(units, gaps, strict=True):
        first = round(at * RATE)
        audio[first : first + len(unit.audio)] += unit.audio
        words += [Placed(d, at + s, at + e, unit.exact) for d, s, e in unit.words]
        at += len(unit.audio) / RATE + gap
    return String(audio, words, voices={u.voice for u in units})


def reverberate(audio: Audio, rng: np.random.Generator) -> Audio:
    """Convolve with exponentially decaying noise of a random decay time behind the direct sound."""
    decay = rng.uniform(0.05, 0.5)
    t = np.arange(round(decay * RATE)) / RATE
    response = (rng.standard_normal(len(t)) * 10 ** (-3 * t / decay)).astype(np.float32)
    response *= rng.uniform(0.1, 0.7) / np.sqrt((response**2).sum())
    response[0] += 1
    return scipy.signal.oaconvolve(audio, response)[: len(audio)].astype(np.float32)


def band_limit(audio: Audio, rng: np.random.Generator) -> Audio:
    """A telephone-like low pass at 3.2-6 kHz."""
    sos = scipy.signal.butter(6, rng.uniform(3200, 6000), fs=RATE, output="sos")
    return scipy.signal.sosfilt(sos, audio).astype(np.float32)


def resample(unit: Unit, rate: float) -> Unit:
    """Play a unit `rate` times as fast, pitch included."""
    n = int(len(unit.audio) / rate)
    audio = np.interp(np.arange(n) * rate, np.arange(len(unit.audio)), unit.audio).astype(np.float32)
    return Unit(audio, tuple((d, s / rate, e / rate) for d, s, e in unit.words), unit.voice, unit.exact)


class Composer:
    """Draws degraded strings from units and noises."""

    def __init__(self, recorded: list[Unit], synthesised: list[Unit], noises: list[Audio], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.pools = []
        for units in (recorded, synthesised):
            by_voice: defaultdict[str, list[Unit]] = defaultdict(list)
            for unit in units:
                by_voice[unit.voice].append(unit)
            self.pools.append((units, list(by_voice.values())))
        self.noises = noises
        self.hardness = 1.0
        """Share of strings that are degraded by more than a gain; grows while training."""

    def layout(self, seconds: float, words: int, lead: float, dense: bool = False) -> String:
        """Up to `words` words within `seconds`, the first after `lead`; one voice three times in four."""
        rng = self.rng
        everything, voices = self.pools[int(rng.random() < 0.5)]
        pool = voices[rng.integers(len(voices))] if rng.random() < 0.75 else everything
        low, high = DENSE if dense else PAUSES[rng.integers(len(PAUSES))]
        even, rate, wobble = rng.random() < 0.5, rng.uniform(0.87, 1.15), rng.uniform(0, 8)
        units: list[Unit] = []
        gaps: list[float] = []
        chosen, at, tries = pool[0], lead, 5
        while words > 0:
            if not (units and len(chosen.words) == 1 and rng.random() < REPEATS):
                chosen = pool[rng.integers(len(pool))]
            unit = resample(chosen, rate * rng.uniform(0.97, 1.03))
            if len(unit.words) > words and units:
                break
            gap = rng.uniform(low, high) if dense or rng.random() > 0.04 else rng.uniform(1, 6)
            if at + len(unit.audio) / RATE + 0.3 > seconds:
                if units:
                    break
                tries -= 1
                if tries:
                    continue
                unit = resample(unit, len(unit.audio) / RATE / (seconds - lead - 0.31))
            level = 0.1 / np.sqrt((unit.audio**2).mean() + 1e-9) if even else 1.0
            gain = np.float32(level * 10 ** (rng.uniform(-wobble, wobble) / 20))
            units.append(Unit(unit.audio * gain, unit.words, unit.voice, unit.exact))
            gaps.append(gap)
            words -= len(unit.words)
            at += len(unit.audio) / RATE + gap
        gaps[-1] = 0.0
        return string_units(units, gaps, lead)

    def degrade(self, string: String) -> None:
        """Reverberation, noise, band limit and gain, in place."""
        rng, audio = self.rng, string.audio
        if rng.random() >= self.hardness:
            string.audio = (
                audio * np.float32(rng.uniform(0.1, 1.0) / (float(np.abs(audio).max()) + 1e-9))
            ).astype(np.float32)
            return
        if rng.random() < 0.25:
            audio = reverberate(audio, rng)
        if rng.random() < 0.65:
            noise = self.noises[rng.integers(len(self.noises))]
            noise = np.resize(np.roll(noise, int(rng.integers(len(noise)))), len(audio))
            spoken = np.concatenate(
                [audio[round(w.start * RATE) : round(w.end * RATE)] for w in string.words]
            )
            ratio = np.sqrt((spoken**2).mean() / ((noise**2).mean() + 1e-10))
            audio = audio + noise * np.float32(min(ratio, 1e3) * 10 ** (-rng.uniform(3, 40) / 20))
        if rng.random() < 0.2:
            audio = band_limit(audio, rng)
        peak = float(np.abs(audio).max()) + 1e-9
        string.audio = (audio * np.float32(10 ** (rng.uniform(-30, 0) / 20) / peak)).astype(np.float32)

    def sample(self, seconds: float, words: int, kind: str = "cut") -> String:
        """One degraded string that fits `seconds`.

        Kinds: "dense" is as full as can be, "stream" may be cut by the window's both ends, others hold 1 to `words`.
        """
        rng = self.rng
        lead = rng.uniform(0, min(3.0, seconds / 3))
        if seconds > 20 and rng.random() < 0.25:
            lead = rng.uniform(3, 18)
        if kind == "dense":
            string = self.layout(seconds, words, float(rng.uniform(0, 0.3)), dense=True)
        elif kind != "stream":
            string = self.layout(
                seconds, words if rng.random() < 0.5 else int(rng.integers(1, words + 1)), lead
            )
            spare = seconds - len(string.audio) / RATE
            if spare > 0 and rng.random() < 0.5:
                string.audio = np.pad(string.audio, (0, round(rng.uniform(0, spare) * RATE)))
        else:
            string = crop(self.layout(seconds + 8, 100, lead), rng.uniform(0, 4), seconds)
        self.degrade(string)
        return string


def crop(string: String, start: float, seconds: float) -> String:
    """The window of `seconds` from `start`; words cut by more than 15 % are dropped.

    The start of one that the window's end cuts is kept as `cut`.
    """
    words, cut = [], None
    for w in string.words:
        first, last, slack = w.start - start, w.end - start, 0.15 * (w.end - w.start)
        if first >= -slack and last <= seconds + slack:
            words.append(Placed(w.digit, max(first, 0.0), min(last, seconds), w.exact))
        elif first >= 0 and first < seconds - 0.02:
            cut = first
    audio = string.audio[round(start * RATE) : round((start + seconds) * RATE)]
    return String(audio, words, cut, string.voices) if words else crop(string, start - 0.5, seconds)
