"""Noise and music mixed into the audio that SAEs are trained on.

As for AudioSAE (arXiv 2602.05027): noise with a probability of 0.05, music of 0.025, at 0 to 20 dB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whisper_steer.data.clips import Audio, Clip
from whisper_steer.fit.degrade import looped, mix

SHARES = {"noise": 0.05, "music": 0.025}
SNR = (0.0, 20.0)
"""dB"""
MUSIC = ("music", "instrument", "jamendo", "gtzan", "vocal")
"""words in the name of a data set or a label by which music is known"""


class Augment:
    """``clips``: those without speech are mixed in, as noise or as music."""

    def __init__(self, clips: Sequence[Clip], seed: int) -> None:
        self.seed = seed
        found = [clip for clip in clips if clip.kind == "nonspeech"]
        music = [any(word in f"{c.dataset} {c.label}".lower() for word in MUSIC) for c in found]
        self.sources = {
            "noise": [clip for clip, tuneful in zip(found, music, strict=True) if not tuneful],
            "music": [clip for clip, tuneful in zip(found, music, strict=True) if tuneful],
        }

    def __call__(self, samples: Audio, window: int, turn: int) -> Audio:
        """Samples (n,) of a window in a turn, mixed or as they are."""
        rng = np.random.default_rng([self.seed, turn, window])
        drawn, bound = float(rng.random()), 0.0
        for kind, share in SHARES.items():
            bound += share
            if drawn < bound and (sources := self.sources[kind]) and len(samples):
                other = sources[int(rng.integers(len(sources)))].samples()
                return mix(samples, looped(other, len(samples), rng), float(rng.uniform(*SNR)))
            if drawn < bound:
                break
        return samples

    def identity(self) -> list[object]:
        return [self.seed, *([clip.identity() for clip in part] for part in self.sources.values())]
