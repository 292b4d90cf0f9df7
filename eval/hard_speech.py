"""Speech that detectors lose: very quiet, late in a recording, over a telephone, off zero, slow and fast.

A detector has lost an utterance where it hears half of its spoken frames or fewer. Those are the frames that Silero
finds in the clean clip (`whisper_steer.data.labels.spoken_frames`), moved to where they lie in the changed one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from whisper_steer.data.clips import Audio
from whisper_steer.data.labels import FRAME_SAMPLES
from whisper_steer.fit.degrade import at_speed, phone_band

SAMPLE_RATE = 16000
FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE
DIGITS = "free-spoken-digit"
"""the data set of single digits, told apart from utterances"""
LATE = 20.0
"""seconds of digital silence"""


@dataclass(frozen=True)
class Condition:
    """A way to change a clip, and where its times are afterwards."""

    change: Callable[[Audio], Audio]
    delay: float = 0.0
    """seconds"""
    speed: float = 1.0

    def heard(self, places: Sequence[tuple[float, float]], spoken: npt.NDArray[np.bool_]) -> float:
        """The share of a clean clip's spoken frames in places (start, end) in seconds of the changed clip."""
        centres = (np.flatnonzero(spoken) + 0.5) * FRAME_SECONDS / self.speed + self.delay
        if not len(centres):
            return 1.0
        inside = np.zeros(len(centres), bool)
        for start, end in places:
            inside |= (centres >= start) & (centres < end)
        return float(inside.mean())

    def lost(self, places: Sequence[tuple[float, float]], spoken: npt.NDArray[np.bool_]) -> bool:
        return self.heard(places, spoken) <= 0.5


def quiet(samples: Audio, decibel: float) -> Audio:
    """Samples at a gain."""
    return (samples * 10 ** (decibel / 20)).astype(np.float32)


def late(samples: Audio) -> Audio:
    """Samples behind `LATE` seconds of digital silence."""
    return np.pad(samples, (round(LATE * SAMPLE_RATE), 0))


def offset(samples: Audio) -> Audio:
    """Samples around 0.1 in place of 0, as a cheap converter gives them."""
    return np.clip(samples + np.float32(0.1), -1, 1)


CONDITIONS = {
    "-50 dB level": Condition(partial(quiet, decibel=-50)),
    "after 20 s of silence": Condition(late, delay=LATE),
    "telephone": Condition(phone_band),
    "offset of 0.1": Condition(offset),
    "half speed": Condition(partial(at_speed, factor=0.5), speed=0.5),
    "double speed": Condition(partial(at_speed, factor=2.0), speed=2.0),
}
