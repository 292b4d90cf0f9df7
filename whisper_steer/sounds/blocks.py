"""Building blocks of the synthetic sounds: registry, coloured noise, oscillators, grains, rooms.

Throughout, a sound is an array (n,), times are in samples, pitches in Hz; `rng` makes every random choice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scipy import signal
from scipy.fft import next_fast_len

from ..errors import UsageError

Array = npt.NDArray[Any]
Rng = np.random.Generator


class Sound(Protocol):
    def __call__(self, rng: Rng, seconds: float, sr: int = 16000) -> npt.NDArray[np.float32]: ...


GENERATORS: dict[str, Sound] = {}


def sound(
    peak_db: tuple[float, float] | None = (-30, -1), room: float = 0.0
) -> Callable[[Callable[[Rng, int, int], Array]], Sound]:
    """Register `(rng, samples, sr) -> array` as a generator under its own name.

    peak_db: dBFS range the peak is drawn from (None: leave the level alone); room: how often the sound is
    set in a reverberant room.
    """

    def register(make: Callable[[Rng, int, int], Array]) -> Sound:
        @functools.wraps(make)
        def run(rng: Rng, seconds: float, sr: int = 16000) -> npt.NDArray[np.float32]:
            n = round(seconds * sr)
            if n <= 0:
                raise UsageError(f"a sound needs a positive duration, not {seconds} s")
            x = make(rng, n, sr)
            if rng.random() < room:
                x = reverberate(rng, x, sr)
            peak = np.abs(x).max()
            if peak_db is not None and peak > 0:
                x = x * (10 ** (rng.uniform(*peak_db) / 20) / peak)
            return np.asarray(x, dtype=np.float32)

        name = str(make.__name__)  # type: ignore[attr-defined,unused-ignore]
        GENERATORS[name] = run
        return run

    return register


def coloured(rng: Rng, n: int, slope: float) -> Array:
    """Gaussian noise of unit variance whose power falls by `-slope` dB per octave."""
    m = next_fast_len(max(n, 2), real=True)
    f = np.arange(m // 2 + 1, dtype=float)
    f[0] = 1.0
    x = np.fft.irfft(np.fft.rfft(rng.standard_normal(m)) * f ** (slope / (20 * np.log10(2))), m)[:n]
    return np.asarray(x / (x.std() + 1e-12))


def band(x: Array, low: float, high: float, sr: int, order: int = 2) -> Array:
    high = min(high, 0.47 * sr)
    edges = [min(max(low, 5.0), high / 1.2), high]
    return np.asarray(signal.sosfilt(signal.butter(order, edges, "bandpass", fs=sr, output="sos"), x))


def hiss(rng: Rng, n: int, low: float, high: float, sr: int) -> Array:
    """Band-passed white noise of unit variance."""
    x = band(rng.standard_normal(n), low, high, sr)
    return np.asarray(x / (x.std() + 1e-12))


def drift(rng: Rng, n: int, sr: int, rate: float) -> Array:
    """A wandering curve (n,): standard normal knots, `rate` per second, joined by straight lines."""
    knots = int(n / sr * rate) + 3
    return np.asarray(np.interp(np.arange(n) * rate / sr, np.arange(knots), rng.standard_normal(knots)))


def cycles(hz: Array | float, n: int, sr: int) -> Array:
    """Phase in cycles (n,) of an oscillator at `hz`, a number or a curve (n,)."""
    return np.cumsum(np.broadcast_to(np.asarray(hz, dtype=float), (n,))) / sr


def wave(cycles: Array, amps: Sequence[float] | Array, rng: Rng | None = None) -> Array:
    """A periodic waveform with harmonic amplitudes `amps` (random phase if `rng`), read at phase `cycles`."""
    a = np.asarray(amps, dtype=complex)
    if rng is not None:
        a = a * np.exp(2j * np.pi * rng.random(len(a)))
    table = np.fft.irfft(np.concatenate([[0], -1j * a]), 4096) * 2048
    return np.asarray(np.interp(cycles % 1.0, np.arange(4097) / 4096, np.append(table, table[0])))


def harmonics(rng: Rng, hz: float, sr: int, rolloff: float, most: int = 40) -> Array:
    """Random amplitudes falling as k ** -rolloff for the harmonics below Nyquist."""
    k = np.arange(1, max(1, min(most, int(0.45 * sr / hz))) + 1)
    return np.asarray(rng.uniform(0.3, 1, len(k)) / k**rolloff)


def decay(m: int, sr: int, tau: float, attack: float = 0.001) -> Array:
    t = np.arange(m) / sr
    return np.asarray(np.minimum(t / attack, 1) * np.exp(-t / tau))


def modes(rng: Rng, m: int, sr: int, low: float, high: float, tau: float, count: int = 8) -> Array:
    """A struck body (m,): decaying sines at random modes, the high ones dying first."""
    high = min(high, 0.47 * sr)
    f = np.exp(rng.uniform(np.log(min(low, high / 2)), np.log(high), (count, 1)))
    t = np.arange(m) / sr
    body = np.sin(2 * np.pi * f * t) * np.exp(-t / (tau * np.sqrt(low / f))) * rng.uniform(0.2, 1, (count, 1))
    return np.asarray(body.sum(0))


def times(rng: Rng, n: int, sr: int, rate: float) -> Array:
    """Starts (samples) of a Poisson process of `rate` per second, at least one."""
    return np.sort(rng.integers(0, n, max(1, rng.poisson(rate * n / sr))))


def beats(rng: Rng, n: int, sr: int, period: float, jitter: float = 0.02) -> Array:
    """Starts (samples) of a nearly regular beat."""
    t = np.arange(rng.uniform(0, min(period, n / sr / 2)), n / sr, period)
    return np.clip((t + rng.normal(0, jitter * period, len(t))) * sr, 0, n - 1).astype(int)


def place(rng: Rng, n: int, starts: Array, grains: Sequence[Array], spread: float = 0.5) -> Array:
    """Add randomly chosen `grains` at `starts`, gains log-normal with sigma `spread`."""
    out = np.zeros(n)
    which, gains = rng.integers(0, len(grains), len(starts)), rng.lognormal(0, spread, len(starts))
    for s, w, g in zip(starts.tolist(), which.tolist(), gains.tolist(), strict=True):
        piece = grains[w][: n - s]
        out[s : s + len(piece)] += g * piece
    return out


def reverberate(rng: Rng, x: Array, sr: int) -> Array:
    """x in a room: convolved with a direct path and an exponentially decaying tail of coloured noise."""
    rt60, wet = rng.uniform(0.15, 1.2), rng.uniform(0.05, 0.6)
    m = int(rt60 * sr * 0.8)
    tail = coloured(rng, m, rng.uniform(-4, 0)) * np.exp(-6.9 * np.arange(m) / (rt60 * sr))
    tail *= wet / np.sqrt((tail**2).sum())
    tail[0] += 1
    return np.asarray(signal.oaconvolve(x, tail)[: len(x)])


def onoff(rng: Rng, n: int, sr: int, on: tuple[float, float], off: tuple[float, float]) -> Array:
    """A gate (n,) of 5 ms edges, open and shut for random times in seconds."""
    spans = [rng.uniform(*(off if i % 2 else on)) for i in range(int(2 * n / sr / (on[0] + off[0])) + 2)]
    edges = np.minimum((np.cumsum(spans) * sr).astype(int), n)
    gate = np.zeros(n + 1)
    np.add.at(gate, np.append(0, edges), np.resize([1, -1], len(edges) + 1))
    return np.asarray(np.convolve(np.cumsum(gate)[:n] > 0, np.ones(sr // 200) / (sr // 200), "same"))
