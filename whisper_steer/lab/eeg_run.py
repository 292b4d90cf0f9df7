"""All of `whisper-steer lab eeg` but its table: recordings in, tests of latents out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from whisper_steer.errors import UsageError
from whisper_steer.lab.eeg_signals import (
    FRAME_RATE,
    RATE,
    latent_signals,
    listen,
    on_the_clock,
    paired,
    sampled_latents,
    standardised,
)
from whisper_steer.lab.eeg_simulated import simulate, spoken_sounds
from whisper_steer.lab.eeg_trials import Recordings, read_folder, read_naplib
from whisper_steer.lab.encoders import SpeechEncoder
from whisper_steer.lab.significance import Significance, permutations_for, significance
from whisper_steer.lab.trf import held_out, kernel
from whisper_steer.sae.model import SAE

Pair = tuple[list[np.ndarray], list[np.ndarray]]
"""of each trial: latents (samples, n) and EEG (samples,), on one clock and standardised"""


@dataclass
class Simulation:
    """What simulated EEG obeys."""

    planted: int
    """how many latents"""


@dataclass
class Measured:
    """What was found about n latents."""

    about: dict[str, Any]
    latents: np.ndarray
    """(n,) int64"""
    test: Significance
    null: np.ndarray
    """r of permuted latents, all together"""
    kernels: Callable[[int], tuple[np.ndarray, np.ndarray]]
    """lags and response function of one of them by its place, fitted on the first subject"""
    planted: np.ndarray
    """(n,) bool: simulated EEG obeys it"""
    likeness: np.ndarray | None
    """(n,) largest correlation with a planted latent, of either sign; None where EEG is not simulated"""


def recordings(source: str) -> Recordings:
    """Of a folder, of naplib's package, or sentences for which EEG is to be simulated. Raises `DataError`,
    `MissingPackageError`."""
    if source == "naplib":
        return read_naplib()
    if source == "simulated":
        return Recordings(dict(spoken_sounds()), {})
    return read_folder(Path(source))


def measure(
    encoder: SpeechEncoder,
    point: str,
    sae: SAE,
    recorded: Recordings,
    channel: str | None,
    n: int,
    permutations: int | None,
    seed: int,
    simulation: Simulation | None = None,
) -> Measured:
    """Raises `UsageError`, `DataError`, `FitError`, `AudioError`, `MissingPackageError`."""
    if point not in encoder.points:
        raise UsageError(f"no point {point!r}: --point takes {', '.join(encoder.points)}")
    rng = np.random.default_rng(seed)
    # before the long part: what is wrong with the options
    channel = "made here" if simulation else recorded.channel(channel)
    permutations = permutations_for(n, max(1, len(recorded.subjects)), permutations)
    hidden = {
        sound: listen(encoder, point, recorded.samples(sound))
        for sound in tqdm(recorded.sounds, desc="encoder", unit="sound")
    }
    chosen = sampled_latents(sae, hidden, n, rng)
    z = {
        sound: on_the_clock(latent_signals(sae, h, chosen), FRAME_RATE)
        for sound, h in tqdm(hidden.items(), desc="latents", unit="sound")
    }
    likeness, planted = None, np.zeros(len(chosen), bool)
    if simulation is None:
        pairs = [_pair(trials, z, channel) for trials in recorded.subjects.values()]
    else:
        if simulation.planted > len(chosen):
            raise UsageError(f"--planted {simulation.planted} of {len(chosen)} latents: pass fewer")
        places = np.sort(rng.choice(len(chosen), simulation.planted, replace=False))
        planted[places] = True
        pairs = [paired(list(z.values()), simulate(list(z.values()), places, rng).eeg)]
        likeness = _likeness(pairs[0][0], planted)
    held = [
        held_out(*pair, permutations, rng, f"subject {i} of {len(pairs)}") for i, pair in enumerate(pairs, 1)
    ]
    about = {
        "channel": channel, "subjects": len(pairs), "trials": sum(len(pair[1]) for pair in pairs),
        "minutes": round(sum(len(y) for pair in pairs for y in pair[1]) / RATE / 60, 1),
        "permutations": permutations, "seed": seed,
    }  # fmt: skip
    x, y = pairs[0]
    null = np.concatenate([each.null.ravel() for each in held])
    return Measured(
        about, chosen, significance(held), null, lambda i: kernel([t[:, i] for t in x], y), planted, likeness
    )


def _pair(trials: list[Any], z: dict[str, np.ndarray], channel: str) -> Pair:
    """One subject's."""
    eeg = [on_the_clock(trial.eeg[:, trial.channels.index(channel)], trial.rate) for trial in trials]
    return paired([z[trial.sound] for trial in trials], eeg)


def _likeness(latents: list[np.ndarray], planted: np.ndarray) -> np.ndarray:
    """(n,) largest magnitude of correlation with a planted latent, at the same time; 0 where none is planted."""
    joined = np.concatenate(standardised(latents))
    correlation = np.abs(joined.T @ joined[:, planted]) / len(joined)
    return np.asarray(correlation.max(axis=1, initial=0.0))
