"""EEG made from latents that are known: it shows what the test finds, and how often it finds what is not there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import fftconvolve

from whisper_steer.data.clips import Audio
from whisper_steer.data.pack import load_speech
from whisper_steer.lab.eeg_signals import RATE, on_the_clock, paired, standardised
from whisper_steer.lab.significance import significance
from whisper_steer.lab.trf import LAGS, held_out

SHARE = 0.04
"""of the variance of 1-8 Hz that comes from the planted latents; r of all of them together is its root"""


@dataclass
class Simulated:
    """One subject's EEG."""

    eeg: list[np.ndarray]
    """of each trial (samples,) at 128 Hz, from 1 to 8 Hz"""
    kernels: np.ndarray
    """(planted, 65): what each planted latent was convolved with, at lags of 0 to 500 ms"""


def simulate(
    latents: list[np.ndarray], planted: np.ndarray, rng: np.random.Generator, share: float = SHARE
) -> Simulated:
    """Responses to the latents ``planted`` (k,) among ``latents`` (trials of (samples, n) at 128 Hz): each convolved
    with a peak near 100 ms and a trough near 200 ms, in sum ``share`` of the variance, the rest noise as strong as 1/f.
    """
    lags = np.arange(round(LAGS[1] * RATE) + 1) / RATE
    peaks = rng.normal(0.1, 0.02, len(planted)), rng.normal(0.2, 0.03, len(planted))
    shapes = [np.exp(-0.5 * ((lags[None] - at[:, None]) / 0.03) ** 2) for at in peaks]
    kernels = shapes[0] - 0.8 * shapes[1]
    noise = standardised([on_the_clock(pink(len(z), rng), RATE) for z in latents])
    if not len(planted):
        return Simulated(noise, kernels)
    parts = [
        np.stack([fftconvolve(z[:, j], k)[: len(z)] for j, k in zip(planted, kernels, strict=True)], axis=1)
        for z in latents
    ]
    signal = standardised([part.sum(axis=1) for part in standardised(parts)])
    eeg = [share**0.5 * s + (1 - share) ** 0.5 * e for s, e in zip(signal, noise, strict=True)]
    return Simulated(eeg, kernels)


def pink(n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) noise whose power falls with 1/f, as that of EEG does."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    spectrum[0] = 0
    return np.fft.irfft(spectrum, n)


def made_up_latents(n: int, trials: int, seconds: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Sparse latents that know nothing of one another: of each trial (samples, n) at 128 Hz, from 1 to 8 Hz."""
    frames = round(seconds * 50)
    events = [np.maximum(rng.standard_normal((frames, n)) - 1.5, 0) for _ in range(trials)]
    held = [fftconvolve(e, np.ones((4, 1)), axes=0)[:frames] for e in events]
    return [on_the_clock(each, 50) for each in held]


def family_wise(
    runs: int,
    latents: int = 5,
    permutations: int = 199,
    trials: int = 4,
    seconds: float = 15.0,
    seed: int = 0,
) -> float:
    """The share of runs on pure noise in which any latent is found: to be at most `ALPHA`, but for chance."""
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(runs):
        z = made_up_latents(latents, trials, seconds, rng)
        pair = paired(z, simulate(z, np.zeros(0, np.int64), rng).eeg)
        wrong += bool(significance([held_out(*pair, permutations, rng)]).found.any())
    return wrong / runs


def spoken_sounds(trials: int = 10, seconds: float = 60.0) -> dict[str, Audio]:
    """Synthesised English sentences of the calibration pack, joined: what simulated listeners hear."""
    n = round(seconds * 16000)
    parts: list[Audio] = []
    for clip in load_speech("fit"):
        if sum(map(len, parts)) >= trials * n:
            break
        if clip.language == "en" and clip.seconds > 1:
            parts.append(np.pad(clip.samples(), (0, 4000)))
    joined = np.concatenate(parts)
    return {f"sentences {i}": joined[i * n : (i + 1) * n] for i in range(min(trials, len(joined) // n))}
