"""Sounds of random spectra: textures, motors, calls of animals and things, solo lines; and how a sound is recorded.

The other families imitate what they are called. These draw spectrum, pitch and envelope at random, so that what a gate
learns from them is not what this or that source sounds like, but that nothing in it speaks. Animals have mouths: theirs
are the only resonances that move.
"""

from __future__ import annotations

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from .blocks import (
    Array,
    Rng,
    coloured,
    cycles,
    drift,
    harmonics,
    onoff,
    reverberate,
    sound,
    times,
    wave,
)
from .instruments import SCALES

RANDOM = ("texture", "motor", "calls", "solo", "animals")


def curve(rng: Rng, bins: int, sr: int, tilt: tuple[float, float] = (-12, 1), depth: float = 22) -> Array:
    """A random smooth spectrum, as factors (bins,): a tilt in dB per octave, and humps and hollows of ``depth`` dB."""
    octave = np.log2(np.maximum(np.arange(bins) * (sr / 2) / max(1, bins - 1), 30) / 1000)
    decibel = rng.uniform(*tilt) * octave
    for _ in range(rng.integers(1, 9)):
        width = 10 ** rng.uniform(-1.3, 0)
        decibel = decibel + rng.normal(0, depth / 2) * np.exp(
            -0.5 * ((octave - rng.uniform(-4, 3)) / width) ** 2
        )
    return np.asarray(10 ** (decibel / 20))


def shaped(x: Array, spectrum: Array) -> Array:
    """Samples (n,) through a spectrum of any number of bins, at unit variance."""
    m = next_fast_len(len(x), real=True)
    whole = rfft(x, m)
    place = np.linspace(0, len(spectrum) - 1, len(whole))
    y = irfft(whole * np.interp(place, np.arange(len(spectrum)), spectrum), m)[: len(x)]
    return np.asarray(y / (y.std() + 1e-9))


def swell(rng: Rng, n: int, sr: int) -> Array:
    """How loud something is over time (n,): steady, wandering, or beating."""
    level = np.exp(rng.uniform(0, 1.3) * drift(rng, n, sr, 10 ** rng.uniform(-1, 1.1)))
    if rng.random() < 0.35:
        beat = 0.5 + 0.5 * np.sin(2 * np.pi * cycles(10 ** rng.uniform(-0.3, 1.6), n, sr))
        level = level * (1 - rng.uniform(0.2, 1) * beat ** rng.uniform(0.5, 6))
    if rng.random() < 0.2:
        level = level * onoff(rng, n, sr, (0.1, 3), (0.1, 3))
    return np.asarray(level)


@sound(room=0.3)
def texture(rng: Rng, n: int, sr: int) -> Array:
    """One to three noises of random spectra that swell each in its own way."""
    layers = [
        shaped(rng.standard_normal(n), curve(rng, 400, sr)) * swell(rng, n, sr)
        for _ in range(rng.integers(1, 4))
    ]
    return np.asarray(sum(x * 10 ** (rng.uniform(-20, 0) / 20) for x in layers))


@sound(room=0.3)
def motor(rng: Rng, n: int, sr: int) -> Array:
    """Something that turns: harmonics of 12 to 250 Hz through a body that rings, with its own noise."""
    hz = 10 ** rng.uniform(1.1, 2.4) * np.exp(
        rng.uniform(0, 0.15) * drift(rng, n, sr, 10 ** rng.uniform(-1, 1))
    )
    if rng.random() < 0.3:
        hz = hz * np.geomspace(1, rng.uniform(0.5, 2), n)
    turning = wave(cycles(hz, n, sr), harmonics(rng, float(hz.mean()), sr, rng.uniform(0, 1.5), 80), rng)
    x = shaped(turning, curve(rng, 400, sr, (-6, 3)))
    noise = shaped(rng.standard_normal(n), curve(rng, 400, sr)) * swell(rng, n, sr)
    if rng.random() < 0.5:
        noise = noise * (0.5 + 0.5 * np.sin(2 * np.pi * cycles(hz / rng.integers(1, 5), n, sr)))
    return x * swell(rng, n, sr) + noise * 10 ** (rng.uniform(-25, 8) / 20)


@sound(room=0.5)
def calls(rng: Rng, n: int, sr: int) -> Array:
    """Cries, honks, squeaks, barks: one over and over, its pitch gliding, rough or clear, its spectrum staying."""
    m = max(64, min(n, int(10 ** rng.uniform(-1.1, 0.2) * sr)))
    place = np.linspace(0, 1, m)
    base, hump = 10 ** rng.uniform(1.9, 3.3), rng.uniform(-0.6, 0.8)
    body, rough = curve(rng, 300, sr, (-9, 3)), rng.random() < 0.35
    share = rng.uniform(0, 1.2) ** 2
    out = np.zeros(n)
    starts = times(rng, n, sr, rng.uniform(0.3, 3))
    if rng.random() < 0.5:
        starts = starts[0] + (np.arange(len(starts)) * m * rng.uniform(1.1, 3)).astype(int)
    for start in starts[starts < n].tolist():
        bend = hump * np.sin(np.pi * place ** rng.uniform(0.6, 1.6)) + rng.uniform(-0.4, 0.4) * place
        hz = base * rng.uniform(0.93, 1.07) * 2**bend
        tone = wave(cycles(hz, m, sr), harmonics(rng, base, sr, rng.uniform(0.2, 1.6)), rng)
        if rough:
            tone = tone * (0.5 + 0.5 * np.sin(2 * np.pi * cycles(rng.uniform(25, 140), m, sr)))
        tone = shaped(tone + share * rng.standard_normal(m), body)
        piece = (tone * np.sin(np.pi * place) ** rng.uniform(0.3, 2))[: n - start]
        out[start : start + len(piece)] += piece * rng.lognormal(0, 0.3)
    return out + shaped(rng.standard_normal(n), curve(rng, 400, sr)) * 10 ** (rng.uniform(-50, -12) / 20)


@sound(room=0.5)
def solo(rng: Rng, n: int, sr: int) -> Array:
    """A line of one instrument that never was: notes of a scale, tied or apart, with vibrato, breath and a body."""
    root, scale = 10 ** rng.uniform(1.75, 2.9), np.array(SCALES[rng.integers(len(SCALES))])
    starts = np.append(0, np.sort(rng.integers(0, n, max(1, int(n / sr * rng.uniform(0.4, 6))))))
    walk = np.cumsum(rng.integers(-3, 4, len(starts))) % (2 * len(scale))
    degree = np.concatenate([scale, scale + 12])[walk]
    which = np.searchsorted(starts, np.arange(n), side="right") - 1
    step = sr // 100
    pitch = np.interp(np.arange(n), np.arange(0, n, step), degree[which[::step]].astype(float))
    pitch = pitch + rng.uniform(0, 0.5) * np.sin(2 * np.pi * cycles(rng.uniform(4, 7), n, sr))
    tone = wave(cycles(root * 2 ** (pitch / 12), n, sr), harmonics(rng, root, sr, rng.uniform(0.3, 2)), rng)
    breath = rng.uniform(0, 0.5) ** 2 * rng.standard_normal(n)
    since = (np.arange(n) - starts[which]) / sr
    loud = np.minimum(since / 10 ** rng.uniform(-2.5, -0.8), 1) * np.exp(-since / 10 ** rng.uniform(-0.8, 1))
    level = (rng.random(len(starts)) > rng.uniform(0, 0.3)) * rng.uniform(0.4, 1, len(starts))
    return np.asarray(shaped(tone + breath, curve(rng, 300, sr, (-4, 3), 14)) * loud * level[which])


def resonances(rng: Rng, bins: int, sr: int) -> Array:
    """The spectrum (bins,) of a throat: two to four peaks over a slope."""
    hz = np.linspace(0, sr / 2, bins)
    peaks = 10 ** rng.uniform(2.5, 3.7, rng.integers(2, 5))
    spectrum = sum(rng.uniform(0.2, 1) / (1 + ((hz - f) / (f * rng.uniform(0.06, 0.3))) ** 2) for f in peaks)
    return np.asarray((spectrum + 0.01) * (np.maximum(hz, 100) / 1000) ** rng.uniform(-1, 0.3))


@sound(room=0.5)
def animals(rng: Rng, n: int, sr: int) -> Array:
    """Barks, growls, mews, bleats, caws: bursts through a throat, most of which opens or shuts meanwhile."""
    m = max(64, min(n, int(10 ** rng.uniform(-1.2, 0) * sr)))
    place = np.linspace(0, 1, m)
    base, noise = 10 ** rng.uniform(1.9, 3.1), rng.choice([0.05, 0.4, 1.2, 2.5])
    opened, shut = resonances(rng, 200, sr), resonances(rng, 200, sr)
    moves, bark = rng.random() < 0.7, rng.random() < 0.5
    out = np.zeros(n)
    starts = times(rng, n, sr, rng.uniform(0.3, 2.5))
    if rng.random() < 0.6:
        starts = starts[0] + (
            np.arange(len(starts)) * (m * rng.uniform(1.1, 2) + rng.uniform(0, 0.7) * sr)
        ).astype(int)
    for start in starts[starts < n].tolist():
        hump = np.sin(np.pi * place ** rng.uniform(0.5, 1.2))
        hz = base * rng.uniform(0.9, 1.1) * 2 ** (rng.uniform(0, 0.9) * hump - rng.uniform(0, 0.4) * place)
        hz = hz * (1 + rng.uniform(0, 0.06) * drift(rng, m, sr, 60))
        tone = wave(cycles(hz, m, sr), harmonics(rng, base, sr, rng.uniform(0.1, 1)), rng)
        source = tone + noise * rng.standard_normal(m)
        y = shaped(source, opened)
        if moves:
            y = y * hump + shaped(source, shut) * (1 - hump)
        loud = np.minimum(place / 0.05, 1) * np.exp(-4 * place) if bark else np.sin(np.pi * place) ** 0.7
        piece = (y * loud * np.minimum((1 - place) / 0.1, 1))[: n - start]
        out[start : start + len(piece)] += piece * rng.lognormal(0, 0.25)
    return out + shaped(rng.standard_normal(n), curve(rng, 400, sr)) * 10 ** (rng.uniform(-50, -8) / 20)


def recorded(rng: Rng, x: Array, sr: int = 16000) -> Array:
    """A sound as a microphone takes it: its response, a room, the noise there, a narrow band, clipping. Peak as before.

    (n,) -> (n,) float32.
    """
    peak = float(np.abs(x).max())
    if peak == 0:
        return np.asarray(x, np.float32)
    y = np.asarray(x / peak, float)
    spread = float(y.std()) + 1e-9
    y = shaped(y, curve(rng, 200, sr, (-4, 4), 10)) * spread
    if rng.random() < 0.35:
        y = reverberate(rng, y, sr)
    if rng.random() < 0.7:
        floor = (
            coloured(rng, len(y), rng.uniform(-6, 1))
            if rng.random() < 0.4
            else shaped(rng.standard_normal(len(y)), curve(rng, 200, sr))
        )
        y = y + floor * y.std() * 10 ** (rng.uniform(-60, -8) / 20)
    if rng.random() < 0.25:
        low, high = 10 ** rng.uniform(1.5, 2.6), 10 ** rng.uniform(3.2, 3.85)
        hz = np.arange(400) * (sr / 2) / 399
        y = shaped(y, 1 / (1 + (low / np.maximum(hz, 1)) ** 6) / (1 + (hz / high) ** 10)) * spread
    y = y / np.abs(y).max()
    if rng.random() < 0.1:
        y = np.clip(y * rng.uniform(1.5, 8), -1, 1)
    return np.asarray(y * peak, np.float32)
