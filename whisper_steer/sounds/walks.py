"""Sounds drawn from models of recorded ones: walks through the short-time spectra of a class of sounds.

A model holds the typical patches of a class, 40 ms of log-mel spectrum each, with how far real ones stray from them,
and in what order they came (`whisper_steer.data.learn_sounds` fits it). A walk follows that order, leaps now and then
to another place where the same patch stood, and is moved in pitch and pace; the phases are found by Griffin and Lim's
method (1984). So a walk sounds like its class and is none of the recordings.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from whisper.audio import HOP_LENGTH, N_FFT, SAMPLE_RATE, mel_filters

from whisper_steer.errors import DataError, UsageError

from .blocks import Array, Rng

BANDS, PATCH = 80, 4
"""of the log-mel spectrum; frames of 10 ms in a patch"""
STEP_DB = 0.5
"""decibels of one step of the stored spectra"""
LEAP = 0.1
"""how often a walk goes on elsewhere"""
PITCH, PACE = 3, 1.25
"""bands that a walk is moved at most; how much faster or slower it is at most"""
ITERATIONS = 16


@dataclass(frozen=True)
class Walks:
    """Model of one class. ``patches`` (k, PATCH, BANDS) and ``spread`` (k, BANDS) in decibels, float32; ``course`` (n,)
    int: the patches of its recordings one after another, -1 between two recordings."""

    patches: Array
    spread: Array
    course: Array

    def draw(self, rng: Rng, seconds: float) -> Array:
        """Decibels (BANDS, frames) of one walk."""
        places = np.flatnonzero(self.course >= 0)
        starts = places[(places == 0) | (self.course[places - 1] < 0)]
        pace = float(np.exp(rng.uniform(-1, 1) * np.log(PACE)))
        n = max(2, int(np.ceil(seconds * SAMPLE_RATE / HOP_LENGTH / PATCH * pace)) + 1)
        at, path = int(rng.choice(starts)), []
        for _ in range(n):
            path.append(int(self.course[at]))
            if rng.random() < LEAP:
                at = int(rng.choice(np.flatnonzero(self.course == self.course[at])))
            at += 1
            if at == len(self.course) or self.course[at] < 0:
                at = int(rng.choice(starts))
        frames = self.patches[path].reshape(-1, BANDS)
        frames = frames + np.repeat(self.spread[path], PATCH, axis=0) * rng.standard_normal(frames.shape)
        frames = np.roll(frames, shift := int(rng.integers(-PITCH, PITCH + 1)), axis=1)
        if shift > 0:
            frames[:, :shift] = frames[:, [shift]]
        elif shift < 0:
            frames[:, shift:] = frames[:, [shift - 1]]
        moments = np.arange(0, len(frames) - 1, pace)
        low, part = moments.astype(int), (moments % 1)[:, None]
        return np.asarray(((1 - part) * frames[low] + part * frames[low + 1]).T)


def walk(name: str, seconds: float, seed: int) -> Array:
    """Samples float32 (round(seconds * 16000),), |x| <= 1, the same for the same seed.

    Raises `UsageError` on an unknown name or a duration that is not positive, `DataError` where the models are damaged.
    """
    n = round(seconds * SAMPLE_RATE)
    if n <= 0:
        raise UsageError(f"a sound needs a positive duration, not {seconds} s")
    models = load()
    if name not in models:
        raise UsageError(f"no learned sound is called {name!r}; choose from {', '.join(sorted(models))}")
    rng = np.random.default_rng([seed, sorted(models).index(name)])
    samples = sounding(models[name].draw(rng, seconds), rng)[:n]
    peak = float(np.abs(samples).max()) or 1.0
    return np.asarray(samples * (10 ** (rng.uniform(-30, -1) / 20) / peak), np.float32)


def sounding(decibels: Array, rng: Rng) -> Array:
    """Samples of a log-mel spectrum (BANDS, frames) in decibels, with phases by Griffin and Lim from random ones."""
    filters = np.asarray(mel_filters("cpu", BANDS))
    centres = (filters * np.arange(filters.shape[1])).sum(axis=1) / filters.sum(axis=1)
    density = decibels - 10 * np.log10(filters.sum(axis=1))[:, None]
    bins = np.arange(filters.shape[1])
    spread = np.stack([np.interp(bins, centres, frame) for frame in density.T], axis=1)
    magnitude = torch.from_numpy(10 ** (spread / 20)).float()
    window = torch.hann_window(N_FFT)
    found = magnitude * torch.exp(2j * np.pi * torch.from_numpy(rng.random(magnitude.shape)).float())
    for _ in range(ITERATIONS):
        samples = torch.istft(found, N_FFT, HOP_LENGTH, window=window)
        again = torch.stft(samples, N_FFT, HOP_LENGTH, window=window, return_complex=True)
        found = magnitude * again / again.abs().clamp(min=1e-9)
    return torch.istft(found, N_FFT, HOP_LENGTH, window=window).numpy()


MODELS = Path(__file__).parents[1] / "assets" / "calibration" / "walks.safetensors"


@lru_cache(maxsize=1)
def load(file: Path = MODELS) -> dict[str, Walks]:
    """Name -> model. Raises `DataError`."""
    try:
        stored = load_file(file)
        names = sorted({key.rpartition("/")[0] for key in stored})
        return {
            name: Walks(
                stored[f"{name}/patches"].astype(np.float32) * -STEP_DB,
                stored[f"{name}/spread"].astype(np.float32) * STEP_DB,
                stored[f"{name}/course"].astype(int) - 1,
            )
            for name in names
        }
    except Exception as error:
        raise DataError(
            f"no learned sounds can be read from {file} ({error}); reinstall whisper-steer"
        ) from error
