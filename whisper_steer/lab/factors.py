"""Acoustic factors of clips: the 88 functionals of eGeMAPSv02 (Eyben et al. 2016), by opensmile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from whisper_steer.audio.load import SAMPLE_RATE
from whisper_steer.data.clips import Clip
from whisper_steer.errors import MissingPackageError

SECONDS = 30
"""of a clip that are measured, as many as the encoder hears"""
SHORTEST = 0.1
"""seconds: shorter clips are padded, opensmile needs a few frames"""
FAMILIES = {
    "F0": "pitch",
    "loudness": "loudness",
    "equivalentSoundLevel": "loudness",
    "jitter": "jitter",
    "shimmer": "shimmer",
    "HNR": "HNR",
    "mfcc": "MFCC",
    "spectralFlux": "spectrum",
    "alphaRatio": "roll-off",
    "hammarberg": "roll-off",
    "slope": "roll-off",
    "logRelF0": "harmonics",
    "F1": "formants",
    "F2": "formants",
    "F3": "formants",
}
"""start of a functional's name -> what it is of; the rest are of rhythm. eGeMAPS has no roll-off point: the alpha
ratio, the Hammarberg index and the slopes say how the spectrum falls"""


def family(name: str) -> str:
    """What a functional is of: pitch, loudness, shimmer, HNR, roll-off and such."""
    return next((what for start, what in FAMILIES.items() if name.startswith(start)), "rhythm")


def acoustic_factors(clips: Sequence[Clip]) -> tuple[np.ndarray, list[str]]:
    """Functionals (n, 88) float64 of the first half minute of each clip, and their names. NaN where one is undefined.

    Raises `MissingPackageError` without opensmile.
    """
    try:
        import opensmile
    except ImportError:
        raise MissingPackageError(
            "acoustic factors need opensmile: pip install 'whisper-steer[lab]'"
        ) from None
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02, feature_level=opensmile.FeatureLevel.Functionals
    )
    rows = []
    for clip in tqdm(clips, desc="opensmile", unit="clip"):
        samples = clip.samples()[: SECONDS * SAMPLE_RATE]
        samples = np.pad(samples, (0, max(0, int(SHORTEST * SAMPLE_RATE) - len(samples))))
        rows.append(smile.process_signal(samples, SAMPLE_RATE).to_numpy(dtype=np.float64)[0])
    return np.stack(rows), list(smile.feature_names)
