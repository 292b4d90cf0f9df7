"""Latents and EEG on one clock: 128 Hz, 1-8 Hz, standardised, as in arXiv 2602.05027."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from scipy.signal import butter, resample_poly, sosfiltfilt
from torch import Tensor
from whisper.audio import N_SAMPLES

from whisper_steer.data.clips import Audio
from whisper_steer.errors import DataError, FitError
from whisper_steer.lab.encoders import FRAME_SAMPLES, SpeechEncoder
from whisper_steer.sae.model import SAE

RATE = 128
"""Hz"""
BAND = (1.0, 8.0)
"""Hz"""
ORDER = 3
"""of the Butterworth filter, which runs forwards and backwards: no delay"""
FRAME_RATE = Fraction(16000, FRAME_SAMPLES)
"""frames of an encoder per second"""
SHORTEST = 10.0
"""seconds of a trial"""
FIRES = 0.01
"""share of the frames of every sound in which a latent has to be active to be looked at"""


def listen(encoder: SpeechEncoder, point: str, samples: Audio) -> Tensor:
    """Activations (frames, n_state) float16 of a sound of any length, half a minute at a time."""
    starts = range(0, max(1, len(samples) - FRAME_SAMPLES), N_SAMPLES)
    parts = [encoder.read([samples[i : i + N_SAMPLES]], [point])[0][point].half().cpu() for i in starts]
    return torch.cat(parts)


def sampled_latents(sae: SAE, hidden: dict[str, Tensor], n: int, rng: np.random.Generator) -> np.ndarray:
    """(<= n,) int64, in order: drawn at random from the latents that fire often enough in every sound.

    ``hidden``: activations of each sound. Raises `FitError` where there are none.
    """
    alive = torch.ones(sae.config.n_latents, dtype=torch.bool)
    for h in hidden.values():
        counts = torch.zeros(sae.config.n_latents)
        for part in h.split(1024):
            counts += (sae.encode(part.float()) > 0).sum(dim=0)
        alive &= counts >= FIRES * len(h)
    known = alive.nonzero().ravel().numpy()
    if not len(known):
        raise FitError(f"no latent fires in {FIRES:.0%} of the frames of every sound: pass longer trials")
    return np.sort(rng.choice(known, min(n, len(known)), replace=False))


def latent_signals(sae: SAE, h: Tensor, chosen: np.ndarray) -> np.ndarray:
    """Latents (frames, n) of the activations of a sound, float64."""
    found = [sae.encode(part.float())[:, chosen].detach() for part in h.split(1024)]
    return torch.cat(found).double().numpy()


def on_the_clock(signal: np.ndarray, rate: float | Fraction) -> np.ndarray:
    """A signal (n, ...) of any rate at 128 Hz and from 1 to 8 Hz: (m, ...) float64. Raises `DataError` if too short."""
    if len(signal) < SHORTEST * float(rate):
        raise DataError(
            f"a trial has {len(signal) / float(rate):.1f} s: it needs at least {SHORTEST:g} s of sound and EEG"
        )
    step = RATE / Fraction(rate).limit_denominator(1000)
    resampled = resample_poly(signal, step.numerator, step.denominator, axis=0, padtype="line")
    sos = butter(ORDER, BAND, "bandpass", fs=RATE, output="sos")
    return np.asarray(sosfiltfilt(sos, resampled, axis=0))


def standardised(trials: list[np.ndarray]) -> list[np.ndarray]:
    """The same with mean 0 and variance 1, over all trials (n, ...), of each column; a flat one becomes 0."""
    joined = np.concatenate(trials)
    mean, deviation = joined.mean(axis=0), joined.std(axis=0)
    scale = np.where(deviation > 1e-12, deviation, np.inf)
    return [(trial - mean) / scale for trial in trials]


def paired(latents: list[np.ndarray], eeg: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Both of one length, trial by trial, and standardised: latents (m, n) over all trials, EEG (m,) in each trial,
    whose level drifts between them."""
    lengths = [min(len(z), len(y)) for z, y in zip(latents, eeg, strict=True)]
    cut = [z[:m] for z, m in zip(latents, lengths, strict=True)]
    return standardised(cut), [standardised([y[:m]])[0] for y, m in zip(eeg, lengths, strict=True)]
