"""Recordings of people who listen: sounds, and the EEG of each trial in which one was heard.

A folder has one folder per subject (or, for a single subject, the trials themselves). A trial is ``NAME.npz`` with

- ``eeg`` (samples, channels), any real type and unit,
- ``rate`` in Hz,
- ``channels``, the names,
- ``sound``, the path of its audio from the trial's folder; where it is missing, ``NAME.wav`` beside it,

and starts when its sound does; whichever is longer is cut. naplib's bundled speech task is read from its package.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import soxr

from whisper_steer.audio.load import SAMPLE_RATE, load_audio
from whisper_steer.data.clips import Audio
from whisper_steer.errors import DataError, MissingPackageError, UsageError

CHANNEL = "Pz"
"""the paper's (arXiv 2602.05027); the first one where a recording has none of this name"""
NAPLIB = "2.6.0"


@dataclass
class Trial:
    """One sound as one subject heard it."""

    sound: str
    """which, among the recordings' sounds"""
    eeg: np.ndarray
    """(samples, channels) float64"""
    rate: float
    """of the EEG, in Hz"""
    channels: list[str]


@dataclass
class Recordings:
    """Of one or more subjects."""

    sounds: dict[str, Path | Audio]
    subjects: dict[str, list[Trial]]

    def samples(self, sound: str) -> Audio:
        """(n,) float32 at 16 kHz. Raises `AudioError`."""
        return np.asarray(load_audio(self.sounds[sound]))

    def channel(self, asked: str | None) -> str:
        """The channel to look at, by its name in every trial. None: `CHANNEL`, else the first. Raises `UsageError`."""
        trials = [trial for each in self.subjects.values() for trial in each]
        if asked is None:
            known = all(CHANNEL in trial.channels for trial in trials)
            asked = CHANNEL if known else trials[0].channels[0]
        for trial in trials:
            if asked not in trial.channels:
                names = ", ".join(trial.channels[:40])
                raise UsageError(f"no channel {asked!r} in a trial of {trial.sound}: --channel takes {names}")
        return asked


def read_folder(folder: Path) -> Recordings:
    """Trials in the layout above. Raises `DataError`."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: pass one with trials, or naplib, or simulated")
    own = sorted(folder.glob("*.npz"))
    groups = (
        {folder.name: own} if own else {p.name: sorted(p.glob("*.npz")) for p in sorted(folder.iterdir())}
    )
    found = Recordings({}, {})
    for subject, paths in groups.items():
        for path in paths:
            trial, audio = _read_trial(path)
            found.sounds[trial.sound] = audio
            found.subjects.setdefault(subject, []).append(trial)
    if not found.subjects:
        raise DataError(f"{folder} has no trials: lay them out as SUBJECT/TRIAL.npz and SUBJECT/TRIAL.wav")
    return found


def _read_trial(path: Path) -> tuple[Trial, Path]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            eeg = np.asarray(arrays["eeg"], np.float64)
            rate = float(arrays["rate"])
            channels = [str(name) for name in np.atleast_1d(arrays["channels"])]
            named = str(arrays["sound"]) if "sound" in arrays else None
    except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
        raise DataError(f"{path} is no trial ({error}): it needs eeg, rate and channels") from None
    if eeg.ndim != 2 or eeg.shape[1] != len(channels) or not rate > 0:
        raise DataError(
            f"{path}: eeg of shape {eeg.shape}, {len(channels)} channel names, {rate:g} Hz: "
            "it has to be (samples, channels)"
        )
    if not np.isfinite(eeg).all():
        raise DataError(f"{path} holds samples that are no numbers: interpolate them, or leave the trial out")
    audio = (path.with_suffix(".wav") if named is None else path.parent / named).resolve()
    if not audio.is_file():
        raise DataError(f"{path} has no audio at {audio}: put it there, or name another with 'sound'")
    return Trial(str(audio), eeg, rate, channels), audio


def read_naplib() -> Recordings:
    """naplib's bundled speech task: 10 trials of an audiobook, about 11 minutes, with 10 electrodes whose responses
    were simulated from models of the spectrogram and noise: it shows that the pipeline works, not how a brain does.

    The file is read where the package lies, without importing it: naplib asks for numpy below 2, so that it is
    installed without its dependencies. Raises `MissingPackageError`, `DataError`.
    """
    spec = importlib.util.find_spec("naplib")
    if spec is None or spec.origin is None:
        raise MissingPackageError(
            f"this needs the data of naplib: pip install --no-deps naplib=={NAPLIB} (83 MB; with its "
            "dependencies it would replace numpy by one below 2)"
        )
    try:
        import h5py
    except ImportError:
        raise MissingPackageError("this needs the package h5py: pip install 'whisper-steer[eeg]'") from None
    path = Path(spec.origin).parent / "io" / "sample_data" / "demo_data.mat"
    try:
        with h5py.File(path) as file:
            return _naplib_trials(file)
    except (OSError, KeyError, IndexError) as error:
        raise DataError(f"{path} cannot be read ({error}): install naplib=={NAPLIB}") from None


def _naplib_trials(file: Any) -> Recordings:
    """MATLAB's struct of trials: each field an array of references."""
    fields = file["out"]
    found = Recordings({}, {"simulated": []})

    def of(name: str, i: int) -> np.ndarray:
        return np.asarray(file[fields[name][i][0]])

    for i in range(len(fields["resp"])):
        sound = "".join(map(chr, of("name", i).ravel()))
        samples = of("sound", i).ravel().astype(np.float32)
        audio = soxr.resample(samples, float(of("soundf", i).item()), SAMPLE_RATE)
        found.sounds[sound] = (audio / max(1.0, float(np.abs(audio).max()))).astype(np.float32)
        channels = ["".join(map(chr, np.ravel(file[name]))) for name in of("chname", i).ravel()]
        trial = Trial(sound, of("resp", i).astype(np.float64), float(of("dataf", i).item()), channels)
        found.subjects["simulated"].append(trial)
    return found
