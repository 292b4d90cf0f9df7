"""Impacts, small noises, animals without formants, game effects, and scenes of several sounds at once."""

from __future__ import annotations

import numpy as np

from .blocks import (
    GENERATORS,
    Array,
    Rng,
    band,
    beats,
    coloured,
    cycles,
    decay,
    drift,
    harmonics,
    hiss,
    modes,
    onoff,
    place,
    sound,
    times,
    wave,
)  # fmt: skip


@sound()
def vinyl(rng: Rng, n: int, sr: int) -> Array:
    """Clicks of a record: random ones, one scratch per turn at 33 1/3 rpm, surface noise."""
    click = [rng.uniform(-1, 1, 12) * decay(12, sr, 0.0003) for _ in range(6)]
    x = place(rng, n, times(rng, n, sr, 10 ** rng.uniform(-0.5, 2)), click, 1)
    x += rng.integers(0, 2) * place(rng, n, beats(rng, n, sr, 1.8, 0), click, 0.2)
    return x + rng.uniform(0, 0.05) * coloured(rng, n, -3)


@sound(room=0.5)
def keyboard(rng: Rng, n: int, sr: int) -> Array:
    """Typing: each key goes down and comes up, in runs with pauses."""
    keys = [modes(rng, sr // 25, sr, rng.uniform(300, 1500), 7000, 0.006, 10) for _ in range(8)]
    down = times(rng, n, sr, rng.uniform(2, 12))
    down = down[onoff(rng, n, sr, (1, 5), (0.2, 3))[down] > 0.5]
    up = np.minimum(down + (rng.uniform(0.05, 0.12, len(down)) * sr).astype(int), n - 1)
    return place(rng, n, down, keys) + 0.4 * place(rng, n, up, keys) + 0.002 * coloured(rng, n, -3)


@sound(room=0.5)
def impacts(rng: Rng, n: int, sr: int) -> Array:
    """Knocks on wood, metal, boxes: a few bodies struck at random or in a rhythm."""
    low, tau = 10 ** rng.uniform(1.7, 3), 10 ** rng.uniform(-2.2, -0.3)
    bodies = [modes(rng, sr, sr, low, low * rng.uniform(10, 60), tau, 30) for _ in range(4)]
    bodies = [b + rng.uniform(0, 4) * hiss(rng, sr, low, 7000, sr) * decay(sr, sr, 0.006) for b in bodies]
    starts = (
        times(rng, n, sr, rng.uniform(0.5, 6))
        if rng.random() < 0.5
        else beats(rng, n, sr, rng.uniform(0.15, 1.5))
    )
    return place(rng, n, starts, bodies)


@sound(room=0.5)
def glass(rng: Rng, n: int, sr: int) -> Array:
    """Clinks and breakages: high modes that ring, and showers of shards."""
    clinks = [modes(rng, sr, sr, rng.uniform(1200, 3500), 7500, rng.uniform(0.03, 0.4)) for _ in range(5)]
    x = place(rng, n, times(rng, n, sr, rng.uniform(0.2, 2)), clinks)
    for start in times(rng, n, sr, 0.15):
        shards = start + (rng.exponential(0.25, 60) * sr).astype(int)
        x += place(rng, n, shards[shards < n], clinks, 1)
    return x


@sound(room=0.4)
def jingle(rng: Rng, n: int, sr: int) -> Array:
    """Keys, coins, chains: dense small metal strokes in shakes."""
    metal = [modes(rng, sr // 4, sr, rng.uniform(2000, 4500), 7500, 0.04, 6) for _ in range(6)]
    x = place(rng, n, times(rng, n, sr, rng.uniform(10, 60)), metal, 0.8)
    return x * onoff(rng, n, sr, (0.3, 3), (0.2, 2))


@sound(room=0.5)
def footsteps(rng: Rng, n: int, sr: int) -> Array:
    m = sr // 5
    soles = [
        modes(rng, m, sr, 50, 500, 0.03)
        + rng.uniform(0, 1) * hiss(rng, m, 300, 6000, sr) * decay(m, sr, 0.03)
        for _ in range(4)
    ]
    return place(rng, n, beats(rng, n, sr, rng.uniform(0.3, 0.9), 0.06), soles, 0.3)


@sound(room=0.5)
def clapping(rng: Rng, n: int, sr: int) -> Array:
    """One pair of hands to a hall of applause."""
    claps = []
    for _ in range(12):
        centre = rng.uniform(600, 2500)
        claps.append(hiss(rng, sr // 20, centre / 2, centre * 2, sr) * decay(sr // 20, sr, 0.006))
    if rng.random() < 0.3:
        return place(rng, n, beats(rng, n, sr, rng.uniform(0.2, 0.8), 0.05), claps[:2], 0.2)
    return place(rng, n, times(rng, n, sr, 10 ** rng.uniform(1, 2.6)), claps, 0.7)


@sound(room=0.4)
def clock(rng: Rng, n: int, sr: int) -> Array:
    ticks = [modes(rng, sr // 12, sr, rng.uniform(800, 3000), 7500, 0.01) for _ in range(2)]
    return place(rng, n, beats(rng, n, sr, rng.choice([0.2, 0.25, 0.5, 1.0]), 0.002), ticks, 0.05)


@sound(room=0.6)
def gunshots(rng: Rng, n: int, sr: int) -> Array:
    """A crack and a low boom; single shots or bursts."""
    shots = []
    for _ in range(3):
        crack = hiss(rng, sr, 200, 7500, sr) * decay(sr, sr, rng.uniform(0.005, 0.06), 0.0002)
        boom = band(coloured(rng, sr, -6), 30, 400, sr) * decay(sr, sr, rng.uniform(0.05, 0.3))
        shots.append(crack + rng.uniform(0, 2) * boom)
    if rng.random() < 0.4:
        starts = beats(rng, n, sr, rng.uniform(0.06, 0.15), 0.02)
        starts = starts[onoff(rng, n, sr, (0.2, 1.5), (0.5, 3))[starts] > 0.5]
        return place(rng, n, np.append(starts, n // 2), shots, 0.1)
    return place(rng, n, times(rng, n, sr, rng.uniform(0.2, 1.5)), shots)


@sound(room=0.3)
def explosions(rng: Rng, n: int, sr: int) -> Array:
    booms = []
    for _ in range(3):
        m = int(rng.uniform(1, 4) * sr)
        low = band(coloured(rng, m, -6), 20, rng.uniform(100, 800), sr) * decay(
            m, sr, rng.uniform(0.2, 1), 0.005
        )
        debris = [modes(rng, 300, sr, 500, 6000, 0.005) for _ in range(3)]
        booms.append(low + 0.05 * place(rng, m, times(rng, m, sr, 20), debris, 1) * decay(m, sr, 1))
    return place(rng, n, times(rng, n, sr, 0.3), booms)


@sound(room=0.3)
def birds(rng: Rng, n: int, sr: int) -> Array:
    """Songs of short whistled syllables, 1.5-7 kHz, with trills; two or three birds."""
    x = 0.01 * coloured(rng, n, -3)
    for _ in range(rng.integers(1, 4)):
        syllables, centre = [], rng.uniform(1800, 5000)
        for _ in range(4):
            m = int(rng.uniform(0.03, 0.25) * sr)
            bend = np.linspace(0, rng.uniform(-0.5, 0.5), m) + 0.1 * np.sin(
                2 * np.pi * cycles(rng.uniform(10, 60), m, sr)
            )
            hz = np.clip(centre * 2**bend, 800, 7400)
            syllables.append(np.sin(2 * np.pi * cycles(hz, m, sr)) * np.hanning(m))
        starts = beats(rng, n, sr, rng.uniform(0.08, 0.5), 0.1)
        x += place(
            rng, n, starts[onoff(rng, n, sr, (0.3, 2), (0.5, 4))[starts] > 0.5], syllables
        ) * rng.uniform(0.2, 1)
    return x


@sound()
def insects(rng: Rng, n: int, sr: int) -> Array:
    """Crickets and cicadas: a high carrier chopped into pulses, in chirps or without end."""
    pulses = 0.5 + 0.5 * np.sin(2 * np.pi * cycles(rng.uniform(15, 120), n, sr))
    chirp = onoff(rng, n, sr, (0.1, 1), (0.1, 1)) if rng.random() < 0.6 else np.ones(n)
    tone = np.sin(2 * np.pi * cycles(rng.uniform(2000, 7000) * (1 + 0.005 * drift(rng, n, sr, 5)), n, sr))
    return (tone + rng.uniform(0, 1) * hiss(rng, n, 3000, 7500, sr)) * pulses**2 * chirp


@sound(room=0.4)
def barks(rng: Rng, n: int, sr: int) -> Array:
    """Bark-like bursts: a short pitch hump with noise, a smooth spectral tilt and no formants."""
    out = []
    for _ in range(3):
        m, base = int(rng.uniform(0.08, 0.3) * sr), rng.uniform(150, 900)
        hump = np.sin(np.pi * np.linspace(0.1, 1, m))
        tone = wave(
            cycles(base * (1 + rng.uniform(0.2, 0.8) * hump), m, sr),
            harmonics(rng, base * 1.8, sr, rng.uniform(0.5, 1.5)),
        )
        out.append(
            (tone + rng.uniform(0.3, 2) * hiss(rng, m, base, base * 6, sr))
            * hump**0.5
            * decay(m, sr, 0.15, 0.005)
        )
    starts = beats(rng, n, sr, rng.uniform(0.25, 0.8), 0.15)
    starts = starts[onoff(rng, n, sr, (0.5, 3), (0.5, 4))[starts] > 0.5]
    return place(rng, n, np.append(starts, n // 3), out, 0.2)


@sound(room=0.1)
def game_effects(rng: Rng, n: int, sr: int) -> Array:
    """Coins, lasers, jumps, hits of a game: swept pulse waves, two-note blips, crushed noise."""
    effects = []
    for _ in range(6):
        m = int(rng.uniform(0.08, 0.6) * sr)
        start = rng.uniform(150, 2000)
        hz = np.geomspace(start, start * rng.uniform(0.2, 4), m)
        blip = np.where(np.arange(m) < m * rng.uniform(0.1, 0.5), start, start * rng.choice([1.33, 1.5, 2]))
        crushed = np.repeat(rng.uniform(-1, 1, m), int(rng.integers(1, 12)))[:m]
        tone = wave(
            cycles(hz if rng.random() < 0.5 else blip, m, sr), harmonics(rng, 2000, sr, rng.uniform(0.5, 2))
        )
        effects.append((crushed if rng.random() < 0.3 else tone) * decay(m, sr, rng.uniform(0.05, 0.4)))
    return place(rng, n, times(rng, n, sr, rng.uniform(0.5, 4)), effects)


@sound()
def scene(rng: Rng, n: int, sr: int) -> Array:
    """Two or three of the other sounds together, the first going on and off."""
    names = rng.choice(
        sorted(set(GENERATORS) - {"scene", "silence", "dither"}), rng.integers(2, 4), replace=False
    )
    x = np.zeros(n)
    for i, name in enumerate(names):
        layer = GENERATORS[str(name)](rng, n / sr, sr).astype(float)[:n]
        level = layer.std() + 1e-9
        x += (
            layer
            / level
            * 10 ** (rng.uniform(-20, 0) / 20)
            * (1 if i else onoff(rng, n, sr, (1, 8), (0.5, 4)))
        )
    return x
