"""Steady noise, weather, water and fire."""

from __future__ import annotations

import numpy as np

from .blocks import (
    Array,
    Rng,
    band,
    coloured,
    cycles,
    decay,
    drift,
    hiss,
    modes,
    onoff,
    place,
    sound,
    times,
    wave,
)


@sound(peak_db=None)
def silence(rng: Rng, n: int, sr: int) -> Array:
    return np.zeros(n)


@sound(peak_db=None)
def dither(rng: Rng, n: int, sr: int) -> Array:
    """Triangular dither of 1-3 steps, quantised to 16 bit."""
    return np.asarray(np.round((rng.random(n) - rng.random(n)) * rng.uniform(1, 3)) / 32768)


@sound(peak_db=(-50, -1))
def white_noise(rng: Rng, n: int, sr: int) -> Array:
    return rng.standard_normal(n)


@sound(peak_db=(-50, -1))
def pink_noise(rng: Rng, n: int, sr: int) -> Array:
    return coloured(rng, n, -10 * np.log10(2))


@sound(peak_db=(-50, -1))
def brown_noise(rng: Rng, n: int, sr: int) -> Array:
    return coloured(rng, n, -20 * np.log10(2))


@sound(peak_db=(-60, -25))
def room_tone(rng: Rng, n: int, sr: int) -> Array:
    x = coloured(rng, n, rng.uniform(-6, -2)) * (1 + 0.1 * drift(rng, n, sr, 0.5))
    return x + rng.uniform(0, 0.5) * wave(cycles(rng.choice([50.0, 60.0]), n, sr), [0.5, 1, 0.2, 0.4])


@sound(peak_db=(-45, -3))
def mains_hum(rng: Rng, n: int, sr: int) -> Array:
    """50 or 60 Hz within 0.1 %, up to 20 weaker harmonics, wandering amplitude, a little hiss."""
    hz = rng.choice([50.0, 60.0]) * (1 + 0.0003 * np.clip(drift(rng, n, sr, 0.3), -3, 3))
    weaker = rng.uniform(0, 0.7, h := int(rng.integers(1, 21))) / np.arange(1, h + 1) ** rng.uniform(0, 1)
    x = wave(cycles(hz, n, sr), np.append(1, weaker), rng)
    return x * (1 + 0.15 * drift(rng, n, sr, 1)) + rng.uniform(0, 0.02) * rng.standard_normal(n)


@sound(peak_db=(-40, -6))
def phone_line(rng: Rng, n: int, sr: int) -> Array:
    """Noise of a 300-3400 Hz line with hum and crackle, through 8-bit mu-law steps."""
    x = hiss(rng, n, 300, 3400, sr) + rng.uniform(0, 1) * wave(
        cycles(rng.choice([50.0, 60.0]), n, sr), [0, 1, 0.3, 0.6]
    )
    x += place(rng, n, times(rng, n, sr, rng.uniform(0.2, 20)), [8 * decay(20, sr, 0.0005)])
    x = x / np.abs(x).max() * rng.uniform(0.02, 0.9)
    steps = np.round(127 * np.sign(x) * np.log1p(255 * np.abs(x)) / np.log(256)) / 127
    return np.asarray(np.sign(steps) * (256 ** np.abs(steps) - 1) / 255)


@sound()
def gated_noise(rng: Rng, n: int, sr: int) -> Array:
    """Noise that a codec's or radio's gate lets through in bursts, comfort noise or nothing between."""
    low = rng.uniform(50, 800)
    gate = onoff(rng, n, sr, (0.03, 1.5), (0.03, 1.5))
    return hiss(rng, n, low, low * rng.uniform(2, 30), sr) * np.maximum(
        gate, float(rng.choice([0, 0.01, 0.1]))
    )


@sound()
def radio_static(rng: Rng, n: int, sr: int) -> Array:
    """Noise between stations: fading hiss, crackle, heterodyne whistles that wander in pitch."""
    x = coloured(rng, n, rng.uniform(-3, 1)) * np.exp(0.5 * drift(rng, n, sr, rng.uniform(0.5, 6)))
    for _ in range(rng.integers(0, 3)):
        hz = rng.uniform(200, 4000) * 2 ** (0.5 * drift(rng, n, sr, 0.5))
        x += rng.uniform(0.3, 2) * wave(cycles(np.clip(hz, 50, 0.45 * sr), n, sr), [1])
    return x + place(rng, n, times(rng, n, sr, rng.uniform(1, 40)), [6 * decay(60, sr, 0.001)], 1)


@sound()
def rain(rng: Rng, n: int, sr: int) -> Array:
    drops = [modes(rng, 400, sr, rng.uniform(600, 3000), 7000, 0.004, 3) for _ in range(8)]
    shower = hiss(rng, n, rng.uniform(200, 1500), rng.uniform(3000, 7500), sr) * (
        1 + 0.1 * drift(rng, n, sr, 1)
    )
    splashes = place(rng, n, times(rng, n, sr, 10 ** rng.uniform(0.5, 2.3)), drops, 1)
    return rng.uniform(0.1, 1) * shower + splashes


@sound()
def wind(rng: Rng, n: int, sr: int) -> Array:
    """Low noise under slow gusts, with a whistling band that rises with them."""
    gust = np.exp(rng.uniform(0.3, 1.2) * drift(rng, n, sr, rng.uniform(0.15, 1.5)))
    x = band(coloured(rng, n, -6), 20, rng.uniform(150, 800), sr) * gust
    centre = rng.uniform(300, 1500)
    whistle = hiss(rng, n, centre, centre * 1.25, sr) * gust**2
    return np.asarray(x / x.std() + rng.uniform(0, 0.5) * whistle)


@sound()
def waves(rng: Rng, n: int, sr: int) -> Array:
    surf = np.zeros(n)
    for low, high, sharp in ((40, 400, 1), (300, 2000, 2), (1500, 7000, 4)):
        swell = 0.5 + 0.5 * np.sin(2 * np.pi * (cycles(rng.uniform(0.08, 0.2), n, sr) + 0.1 * sharp))
        surf += hiss(rng, n, low, high, sr) * (swell**sharp + 0.1) * rng.uniform(0.2, 1)
    return surf


@sound(room=0.3)
def water(rng: Rng, n: int, sr: int) -> Array:
    """Drips to running water: bubbles, each a decaying sine of rising pitch (Minnaert)."""
    bubbles = []
    for _ in range(10):
        t, hz, tau = np.arange(sr // 10) / sr, rng.uniform(300, 3500), rng.uniform(0.005, 0.03)
        bubbles.append(np.sin(2 * np.pi * hz * (t + rng.uniform(0, 3) * t**2)) * np.exp(-t / tau))
    x = place(rng, n, times(rng, n, sr, 10 ** rng.uniform(-0.3, 2.3)), bubbles, 0.8)
    return x + float(rng.choice([0, 0.03, 0.2])) * hiss(rng, n, 400, 6000, sr)


@sound()
def thunder(rng: Rng, n: int, sr: int) -> Array:
    roll = [band(coloured(rng, 4 * sr, -6), 20, rng.uniform(100, 1200), sr) for _ in range(3)]
    roll = [r * decay(4 * sr, sr, rng.uniform(0.3, 1.2), rng.uniform(0.01, 0.3)) for r in roll]
    return place(rng, n, times(rng, n, sr, 0.4), roll) + 0.05 * hiss(rng, n, 500, 6000, sr)


@sound()
def fire(rng: Rng, n: int, sr: int) -> Array:
    """Crackle: many tiny snaps of widely spread loudness over a low roar."""
    snaps = [modes(rng, 200, sr, rng.uniform(800, 4000), 7500, 0.002, 3) for _ in range(6)]
    roar = band(coloured(rng, n, -6), 30, 400, sr)
    return place(rng, n, times(rng, n, sr, rng.uniform(3, 80)), snaps, 1.2) + rng.uniform(0, 1) * roar
