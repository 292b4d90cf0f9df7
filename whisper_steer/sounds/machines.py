"""Machines and signals: engines, tools, fans, sirens, beeps, telephone tones."""

from __future__ import annotations

import numpy as np

from .blocks import (
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
    wave,
)


@sound(room=0.2)
def engine(rng: Rng, n: int, sr: int) -> Array:
    """Half-order harmonics of a drifting shaft, the firing order strongest; noise pulsed by the firing."""
    sway = drift(rng, n, sr, rng.uniform(0.1, 1.5))
    hz = rng.uniform(600, 5000) / 120 * np.exp(rng.uniform(0.02, 0.4) * sway)
    order = int(rng.choice([1, 2, 3, 4, 6]))
    amps = harmonics(rng, float(hz.max()), sr, rng.uniform(0.6, 1.6), 60)
    amps[order - 1 :: order] *= 3
    shaft = cycles(hz, n, sr)
    firing = (0.5 + 0.5 * np.cos(2 * np.pi * order * shaft)) ** 2
    noise = hiss(rng, n, 60, rng.uniform(500, 5000), sr)
    return wave(shaft, amps, rng) + rng.uniform(0.1, 1) * noise * firing


@sound()
def propeller(rng: Rng, n: int, sr: int) -> Array:
    """Helicopter or propeller: low noise chopped by blades."""
    hz = rng.uniform(8, 90) * (1 + 0.03 * drift(rng, n, sr, 0.5))
    chop = (0.5 + 0.5 * np.cos(2 * np.pi * cycles(hz, n, sr))) ** rng.integers(2, 9)
    return hiss(rng, n, 30, rng.uniform(300, 3000), sr) * (chop + 0.1) + wave(
        cycles(hz, n, sr), [1, 0.5, 0.3]
    )


@sound()
def train(rng: Rng, n: int, sr: int) -> Array:
    m = sr // 4
    thumps = [modes(rng, m, sr, 40, 250, rng.uniform(0.02, 0.08), 4) for _ in range(4)]
    clack = [t + rng.uniform(0.3, 2) * hiss(rng, m, 400, 6000, sr) * decay(m, sr, 0.03) for t in thumps]
    beat = beats(rng, n, sr, rng.uniform(0.4, 1.6))
    pair = np.minimum(np.append(beat, beat + int(0.13 * sr)), n - 1)
    rumble = band(coloured(rng, n, -5), 25, rng.uniform(300, 2500), sr)
    return place(rng, n, pair, clack) + rng.uniform(0.3, 4) * rumble


@sound(room=0.3)
def drill(rng: Rng, n: int, sr: int) -> Array:
    """An electric drill or saw: a whining motor that bogs down under load, switched on and off."""
    gate = onoff(rng, n, sr, (0.5, 5), (0.1, 2))
    hz = rng.uniform(90, 450) * (1 + 0.12 * drift(rng, n, sr, 2)) * (0.4 + 0.6 * gate)
    x = wave(cycles(np.maximum(hz, 20), n, sr), harmonics(rng, float(hz.max()), sr, rng.uniform(0.2, 1)), rng)
    return (x + rng.uniform(0.2, 2) * hiss(rng, n, 800, 7000, sr)) * gate


@sound(room=0.3)
def jackhammer(rng: Rng, n: int, sr: int) -> Array:
    hits = [modes(rng, sr // 8, sr, rng.uniform(60, 800), 6000, 0.015, 10) for _ in range(4)]
    x = place(rng, n, beats(rng, n, sr, 1 / rng.uniform(8, 30), 0.05), hits, 0.15)
    gate = np.maximum(onoff(rng, n, sr, (1, 8), (0.3, 3)), 0.02)
    return (x + 0.3 * hiss(rng, n, 200, 5000, sr)) * gate


@sound()
def fan(rng: Rng, n: int, sr: int) -> Array:
    """A fan or air conditioner: coloured noise, a blade tone and its harmonics, motor hum."""
    blade = wave(cycles(rng.uniform(20, 300), n, sr), rng.uniform(0, 1, 6) / np.arange(1, 7), rng)
    noise = band(coloured(rng, n, rng.uniform(-6, -1)), 20, rng.uniform(500, 7000), sr)
    hum = wave(cycles(rng.choice([50.0, 60.0]), n, sr), [0.3, 1, 0.1, 0.3])
    return noise / float(noise.std()) + rng.uniform(0, 0.8) * blade + rng.uniform(0, 0.4) * hum


@sound(room=0.4)
def scrape(rng: Rng, n: int, sr: int) -> Array:
    """Sawing, brushing, rustling: strokes of high noise with a rough edge."""
    stroke = np.abs(np.sin(np.pi * cycles(rng.uniform(0.4, 5) * np.exp(0.2 * drift(rng, n, sr, 1)), n, sr)))
    rough = np.abs(hiss(rng, n, 5, rng.uniform(20, 200), sr))
    return (
        hiss(rng, n, rng.uniform(300, 2500), rng.uniform(4000, 7500), sr)
        * rough
        * stroke ** rng.uniform(1, 4)
    )


@sound(room=0.5)
def creak(rng: Rng, n: int, sr: int) -> Array:
    """A hinge or a chair: stick-slip pulses of wandering rate exciting a wooden body."""
    rate = np.clip(rng.uniform(15, 120) * np.exp(0.7 * drift(rng, n, sr, 3)), 4, 400)
    starts = np.flatnonzero(np.diff(np.floor(cycles(rate, n, sr)), append=0) > 0)
    body = [modes(rng, sr // 16, sr, 700, 7000, 0.008, 24) for _ in range(3)]
    return place(rng, n, starts, body, 0.3) * onoff(rng, n, sr, (0.2, 1.5), (0.2, 3))


@sound(room=0.4)
def siren(rng: Rng, n: int, sr: int) -> Array:
    """Wail, yelp or two-tone horn between two pitches."""
    lfo = np.sin(2 * np.pi * cycles(10 ** rng.uniform(-1, 0.7), n, sr))
    shape = [lfo, np.arcsin(lfo) * 2 / np.pi, np.clip(lfo * 40, -1, 1)][rng.integers(3)]
    low = rng.uniform(300, 1000)
    hz = low * rng.uniform(1.2, 3) ** (0.5 + 0.5 * shape)
    x = wave(cycles(hz, n, sr), harmonics(rng, float(hz.max()), sr, rng.uniform(0.7, 3)))
    return x * np.exp(0.3 * drift(rng, n, sr, 0.3))


@sound(room=0.4)
def alarm(rng: Rng, n: int, sr: int) -> Array:
    """A horn, buzzer or smoke alarm: a harsh steady tone switched in a fixed rhythm."""
    hz, rate = rng.uniform(250, 3500), rng.uniform(0.5, 8)
    gate = (cycles(rate, n, sr) % 1 < rng.uniform(0.2, 0.8)) * (
        cycles(rate / rng.integers(3, 9), n, sr) % 1 < 0.8
    )
    return wave(cycles(hz, n, sr), harmonics(rng, hz, sr, rng.uniform(0, 1.5)), rng) * gate


@sound(room=0.3)
def beeps(rng: Rng, n: int, sr: int) -> Array:
    """Microwave, monitor, reversing lorry, notification: short tones of one to three pitches."""
    m = int(rng.uniform(0.03, 0.6) * sr)
    env = np.minimum(1, np.minimum(np.arange(m), np.arange(m)[::-1]) / (0.005 * sr)) * decay(
        m, sr, rng.uniform(0.05, 5)
    )
    tones = [rng.uniform(400, 4000) for _ in range(rng.integers(1, 4))]
    notes = [wave(cycles(f, m, sr), harmonics(rng, f, sr, rng.uniform(1, 4))) * env for f in tones]
    return place(rng, n, beats(rng, n, sr, rng.uniform(0.3, 3), 0.001), notes, 0)


DTMF_LOW, DTMF_HIGH = (697, 770, 852, 941), (1209, 1336, 1477, 1633)


@sound()
def dtmf(rng: Rng, n: int, sr: int) -> Array:
    """Telephone keys dialled: pairs of tones (ITU-T Q.23)."""
    m, gap = int(rng.uniform(0.06, 0.4) * sr), int(rng.uniform(0.05, 0.4) * sr)
    keys = [
        np.sin(2 * np.pi * np.arange(m) * lo / sr) + np.sin(2 * np.pi * np.arange(m) * hi / sr)
        for lo in DTMF_LOW
        for hi in DTMF_HIGH
    ]
    return place(rng, n, np.arange(0, n, m + gap), keys, 0)


@sound()
def call_progress(rng: Rng, n: int, sr: int) -> Array:
    """Dial tone, ringback, busy, reorder: American and European tones and cadences."""
    tones, on, off = [
        ((350, 440), 1e6, 1), ((440, 480), 2, 4), ((480, 620), 0.5, 0.5), ((480, 620), 0.25, 0.25),
        ((425,), 1e6, 1), ((425,), 1, 4), ((425,), 0.5, 0.5), ((400, 450), 0.4, 0.2),
        ((950, 1400, 1800), 1, 1),
    ][rng.integers(9)]  # fmt: skip
    x = sum((np.sin(2 * np.pi * cycles(f, n, sr)) for f in tones), np.zeros(n))
    return x * (
        (np.arange(n) / sr + rng.uniform(0, on if on < 9 else 1)) % (on + off) < on
    ) + 0.003 * rng.standard_normal(n)
