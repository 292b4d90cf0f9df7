"""Music-like sounds: strings, winds, keys, percussion, chip music, and phrases and ensembles of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from . import blocks
from .blocks import Array, Rng, cycles, decay, harmonics, hiss, modes, place, sound, times, wave

Voice = Callable[[Rng, float, int, int], Array]
"""An instrument: (rng, pitch in Hz, samples, sr) -> one note (samples,)."""

SCALES = (
    (0, 2, 4, 5, 7, 9, 11),
    (0, 2, 3, 5, 7, 8, 10),
    (0, 3, 5, 7, 10),
    (0, 2, 4, 7, 9),
    (0, 2, 4, 6, 8, 10),
    tuple(range(12)),
)


def envelope(m: int, sr: int, attack: float, release: float) -> Array:
    """A sustained note: linear attack and release, in seconds."""
    i = np.arange(m)
    return np.asarray(np.clip(np.minimum(i / (attack * sr), (m - i) / (release * sr)), 0, 1))


def phrase(
    rng: Rng, n: int, sr: int, voice: Voice, low: float = 55, high: float = 500, chord: int = 3
) -> Array:
    """A random walk over two octaves of a scale, in chords of up to `chord` notes, in `voice`."""
    root, scale = low * (high / low) ** rng.random(), np.array(SCALES[rng.integers(len(SCALES))])
    pitches = root * 2 ** (np.concatenate([scale, scale + 12]) / 12)
    beat = rng.uniform(0.12, 1.2)
    m = int(sr * min(3.0, beat * rng.uniform(0.7, 4)))
    notes = [voice(rng, float(f), m, sr) for f in pitches]
    starts = blocks.beats(rng, n, sr, beat, 0.01)
    starts = np.append(starts[:1], starts[1:][rng.random(len(starts) - 1) < rng.uniform(0.6, 1)])
    walk = np.cumsum(rng.integers(-3, 4, len(starts))) % len(notes)
    out = np.zeros(n)
    for k in range(rng.integers(1, chord + 1)):
        for start, i in zip(starts.tolist(), ((walk + 2 * k) % len(notes)).tolist(), strict=True):
            piece = notes[i][: n - start]
            out[start : start + len(piece)] += piece * rng.uniform(0.5, 1)
    return out


def pluck(rng: Rng, hz: float, m: int, sr: int) -> Array:
    """Karplus-Strong string, all periods at once: the k-th is noise filtered k times by a two-point mean."""
    period = max(4, round(sr / hz))
    rounds = np.arange(m // period + 1)[:, None]
    damp = rng.uniform(0.985, 0.999) * 0.5 * (1 + np.exp(-2j * np.pi * np.arange(period // 2 + 1) / period))
    first = np.fft.rfft(np.convolve(rng.uniform(-1, 1, period), np.ones(3) / 3, "same"))
    first[0] = 0
    return np.asarray(np.fft.irfft(first * damp**rounds, period).ravel()[:m] * envelope(m, sr, 0.001, 0.02))


def piano(rng: Rng, hz: float, m: int, sr: int) -> Array:
    """Slightly stretched partials f k sqrt(1 + B k^2), each decaying faster than the one below."""
    k = np.arange(1, max(2, min(16, int(0.4 * sr / hz))))[:, None]
    t = np.arange(m) / sr
    partials = np.sin(2 * np.pi * hz * k * np.sqrt(1 + 4e-4 * k**2) * t) * np.exp(
        -t * k**0.7 / rng.uniform(0.5, 2)
    )
    return np.asarray((partials / k ** rng.uniform(0.8, 1.6)).sum(0) * envelope(m, sr, 0.003, 0.03))


def bow(rng: Rng, hz: float, m: int, sr: int) -> Array:
    """Sawtooth-like string with vibrato, slow attack and bow noise."""
    vibrato = 1 + rng.uniform(0, 0.012) * np.sin(2 * np.pi * cycles(rng.uniform(4, 7), m, sr))
    x = wave(cycles(hz * vibrato, m, sr), harmonics(rng, hz, sr, rng.uniform(0.8, 1.4)), rng)
    return (x + rng.uniform(0, 0.2) * hiss(rng, m, 800, 6000, sr)) * envelope(
        m, sr, rng.uniform(0.02, 0.2), 0.1
    )


def pipe(rng: Rng, hz: float, m: int, sr: int) -> Array:
    """Organ: a few drawbars, no vibrato."""
    stops = np.zeros(16)
    stops[np.array([1, 2, 3, 4, 6, 8, 16]) - 1] = rng.uniform(0, 1, 7) * (rng.random(7) < 0.6)
    stops[0] = 1
    return wave(cycles(hz, m, sr), stops[: max(1, int(0.45 * sr / hz))], rng) * envelope(m, sr, 0.02, 0.05)


def reed(rng: Rng, hz: float, m: int, sr: int) -> Array:
    """Brass or reed: brightness follows loudness; odd harmonics stand out in some (clarinet)."""
    amps = harmonics(rng, hz, sr, 1.0)
    if rng.random() < 0.4:
        amps[1::2] *= 0.1
    loud = envelope(m, sr, rng.uniform(0.02, 0.12), 0.08) * (1 + 0.1 * blocks.drift(rng, m, sr, 5))
    dull = wave(cycles(hz, m, sr), amps / np.arange(1, len(amps) + 1) ** 1.5)
    return (dull * (1 - 0.7 * loud) + wave(cycles(hz, m, sr), amps) * 0.7 * loud) * loud


def flute(rng: Rng, hz: float, m: int, sr: int) -> Array:
    """Nearly a sine with tremolo and breath noise around the pitch."""
    x = wave(
        cycles(hz * (1 + 0.004 * np.sin(2 * np.pi * cycles(5, m, sr))), m, sr),
        [1, rng.uniform(0, 0.5), rng.uniform(0, 0.2)],
    )
    breath = rng.uniform(0.02, 0.25) * hiss(rng, m, hz, hz * 6 + 1000, sr)
    return (x + breath) * envelope(m, sr, rng.uniform(0.03, 0.15), 0.08)


def bell(rng: Rng, hz: float, m: int, sr: int) -> Array:
    """Bell or mallet by frequency modulation (Chowning), the modulation dying with the note."""
    ring = decay(m, sr, rng.uniform(0.1, 1.2))
    bend = (
        rng.uniform(0.5, 5)
        * ring
        * np.sin(2 * np.pi * cycles(hz * rng.choice([1.4, 2.76, 3.5, 4.07]), m, sr))
    )
    return np.sin(2 * np.pi * cycles(hz, m, sr) + bend) * ring


def pulse(rng: Rng, hz: float, m: int, sr: int) -> Array:
    """A game console's square or pulse wave, band-limited, sometimes an arpeggio."""
    k = np.arange(1, max(2, min(40, int(0.45 * sr / hz / 1.5))))
    step = np.array([1, 1.26, 1.5])[np.arange(m) * 15 // sr % 3] if rng.random() < 0.3 else 1.0
    return wave(cycles(hz * step, m, sr), np.sin(np.pi * k * rng.choice([0.5, 0.25, 0.125])) / k) * envelope(
        m, sr, 0.002, 0.02
    )


VOICES: dict[str, Voice] = {
    "pluck": pluck, "piano": piano, "bow": bow, "pipe": pipe,
    "reed": reed, "flute": flute, "bell": bell, "pulse": pulse,
}  # fmt: skip


def kit(rng: Rng, sr: int) -> list[Array]:
    """A drum kit: kick, snare, hi-hat, tom, cymbal."""
    m = sr // 2
    drop = cycles(rng.uniform(40, 70) * (1 + rng.uniform(1, 5) * decay(m, sr, 0.02)), m, sr)
    kick = np.sin(2 * np.pi * drop) * decay(m, sr, rng.uniform(0.05, 0.2))
    snare = hiss(rng, m, 300, 7000, sr) * decay(m, sr, rng.uniform(0.03, 0.12)) + modes(
        rng, m, sr, 150, 400, 0.05, 2
    )
    hat = hiss(rng, m, 4000, 7500, sr) * decay(m, sr, rng.uniform(0.01, 0.08))
    tom = np.sin(2 * np.pi * cycles(rng.uniform(80, 200) * (1 + decay(m, sr, 0.05)), m, sr)) * decay(
        m, sr, 0.15
    )
    cymbal = hiss(rng, 2 * sr, 2500, 7500, sr) * decay(2 * sr, sr, rng.uniform(0.3, 0.8))
    return [kick, 0.5 * snare, 0.3 * hat, tom, 0.3 * cymbal]


@sound(room=0.4)
def plucked_strings(rng: Rng, n: int, sr: int) -> Array:
    return phrase(rng, n, sr, pluck)


@sound(room=0.4)
def piano_keys(rng: Rng, n: int, sr: int) -> Array:
    return phrase(rng, n, sr, piano, 40, 800, 4)


@sound(room=0.5)
def bowed_strings(rng: Rng, n: int, sr: int) -> Array:
    return phrase(rng, n, sr, bow)


@sound(room=0.6)
def organ(rng: Rng, n: int, sr: int) -> Array:
    return phrase(rng, n, sr, pipe, 40, 600, 4)


@sound(room=0.4)
def winds(rng: Rng, n: int, sr: int) -> Array:
    return phrase(rng, n, sr, reed if rng.random() < 0.5 else flute, 60, 1200, 2)


@sound(room=0.5)
def bells(rng: Rng, n: int, sr: int) -> Array:
    return phrase(rng, n, sr, bell, 150, 1500)


@sound(room=0.1)
def chip_music(rng: Rng, n: int, sr: int) -> Array:
    x = phrase(rng, n, sr, pulse, 100, 600, 2) + phrase(rng, n, sr, pulse, 40, 90, 1)
    return x + rng.uniform(0, 1) * place(
        rng, n, blocks.beats(rng, n, sr, rng.uniform(0.15, 0.6)), kit(rng, sr)[1:3]
    )


def pattern_of_drums(rng: Rng, n: int, sr: int) -> Array:
    """A two-bar pattern of kick, snare, hats, toms and cymbals, repeated."""
    x, step, pieces = np.zeros(n), rng.uniform(0.08, 0.25), kit(rng, sr)
    grid = (np.arange(0, n / sr, step) * sr).astype(int)
    for piece, density in zip(pieces, (0.3, 0.2, rng.uniform(0, 0.9), 0.1, 0.04), strict=True):
        pattern = rng.random(32) < density
        pattern[0] |= piece is pieces[0]
        x += place(rng, n, grid[pattern[np.arange(len(grid)) % 32]], [piece], 0.2)
    return x


@sound(room=0.3)
def drums(rng: Rng, n: int, sr: int) -> Array:
    return pattern_of_drums(rng, n, sr)


@sound(room=0.3)
def ensemble(rng: Rng, n: int, sr: int) -> Array:
    """Two or three instruments at once, with drums in half of them."""
    names = rng.choice(list(VOICES), rng.integers(2, 4), replace=False)
    layers = [phrase(rng, n, sr, VOICES[str(v)]) for v in names]
    if rng.random() < 0.5:
        layers.append(pattern_of_drums(rng, n, sr))
    return sum((rng.uniform(0.3, 1) * x / (x.std() + 1e-9) for x in layers), np.zeros(n))


@sound()
def pad(rng: Rng, n: int, sr: int) -> Array:
    """A synthesiser drone: detuned chord, slowly opening and closing brightness."""
    root, x = rng.uniform(40, 250), np.zeros(n)
    for step in rng.choice([0, 3, 4, 7, 10, 12, 16, 19], rng.integers(1, 5), replace=False):
        hz = root * 2 ** (step / 12) * (1 + 0.003 * blocks.drift(rng, n, sr, 0.5))
        bright = 1 / (1 + np.exp(-2 * blocks.drift(rng, n, sr, 0.4)))
        amps = harmonics(rng, float(hz.max()), sr, 0.8)
        x += wave(cycles(hz, n, sr), amps) * bright + wave(cycles(hz, n, sr), amps[:2]) * (1 - bright)
    return x


@sound(room=0.3)
def sweeps(rng: Rng, n: int, sr: int) -> Array:
    """Rising and falling tones, linear or exponential."""
    grains = []
    for _ in range(4):
        m, (a, b) = int(rng.uniform(0.05, 2) * sr), np.exp(rng.uniform(np.log(80), np.log(6000), 2))
        hz = np.geomspace(a, b, m) if rng.random() < 0.5 else np.linspace(a, b, m)
        grains.append(wave(cycles(hz, m, sr), [1, rng.uniform(0, 0.3)]) * envelope(m, sr, 0.01, 0.01))
    return place(rng, n, times(rng, n, sr, rng.uniform(0.3, 3)), grains)


@sound(room=0.3)
def whistling(rng: Rng, n: int, sr: int) -> Array:
    def breathy(r: Rng, hz: float, m: int, s: int) -> Array:
        return flute(r, hz, m, s) * (1 + 0.1 * blocks.coloured(r, m, -6))

    return phrase(rng, n, sr, breathy, 500, 1500, 1)
