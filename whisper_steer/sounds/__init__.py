"""Synthetic sounds in which nobody speaks: noise, weather, machines, signals, instruments, impacts, animals.

Every generator is a function `(rng, seconds, sr=16000) -> float32 (n,)` with |x| <= 1 that draws its own
acoustical parameters widely from `rng`; equal seeds give equal samples. `GENERATORS` maps name to function;
`generate(name, seconds, seed)` calls one. They feed the calibration pack, the synthetic benchmark set, the
demonstration audio and the noise mixed into training speech. None imitates a human voice, though
some instruments come near one in pitch, and animals have throats. The sounds themselves are in
the modules beside this one, one a family.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from whisper_steer.errors import UsageError

from . import events, instruments, machines, noise, textures  # noqa: F401  (importing a family registers its sounds)
from .blocks import GENERATORS, Sound

__all__ = ["GENERATORS", "Sound", "generate"]


def generate(name: str, seconds: float, seed: int, sr: int = 16000) -> npt.NDArray[np.float32]:
    """`seconds` of the generator `name`; float32 (round(seconds * sr),), |x| <= 1.

    Raises UsageError on an unknown name or a duration that is not positive.
    """
    if name not in GENERATORS:
        raise UsageError(
            f"no synthetic sound is called {name!r}; choose from {', '.join(sorted(GENERATORS))}"
        )
    return GENERATORS[name](np.random.default_rng([seed, zlib.crc32(name.encode())]), seconds, sr)
