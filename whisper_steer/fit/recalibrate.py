"""The threshold anew, from a user's own recordings of speech: `whisper-steer calibrate`.

The gate stays as it is, so that nothing is chosen on these recordings and conformal risk control holds for the next
one like them (`whisper_steer.gate.conformal`). A recording is one unit, however long it is: its loss is the share of
what is spoken in it (by Silero) that lies outside of the spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from whisper.audio import N_SAMPLES

from whisper_steer.data.clips import Audio
from whisper_steer.data.labels import speech_frames, spoken_frames
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import FitError
from whisper_steer.fit.strata import heard, steps_of_frames
from whisper_steer.gate.conformal import loss_curve, smallest_promise
from whisper_steer.gate.kinds import Gate
from whisper_steer.gate.spans import Evidence
from whisper_steer.steer.artifact import Artifact, Calibration
from whisper_steer.steer.find import RECALIBRATED

FEWEST = 50
"""recordings: they can promise 2 %"""
SUFFIX = "-calibrated"


def spoken_evidence(prefix: Prefix, gate: Gate, audio: Audio) -> Evidence:
    """What decides which spoken steps of a recording (n,) lie in spans: (spoken steps,), empty where nobody speaks."""
    spoken = spoken_steps(audio)
    return heard(prefix, gate, audio, spoken) if spoken.any() else np.zeros(0, np.float32)


def spoken_steps(audio: Audio) -> npt.NDArray[np.bool_]:
    """Where Silero hears speech in a recording of any length: (steps,), half a minute at a time."""
    pieces = [audio[start : start + N_SAMPLES] for start in range(0, len(audio), N_SAMPLES)]
    # A rest of a few samples is no sound to judge; the labels of short clips would call its loudest frame a word.
    found = [
        steps_of_frames(spoken_frames(piece), len(piece))
        if len(piece) >= N_SAMPLES or len(pieces) == 1
        else steps_of_frames(speech_frames(piece), len(piece))
        for piece in pieces
    ]
    return np.concatenate(found) if found else np.zeros(0, bool)


def recalibrated(artifact: Artifact, recordings: Sequence[Evidence]) -> Artifact:
    """The same artifact with a calibration of its own: ``recordings`` as of `spoken_evidence`, none of them empty.

    Raises `FitError` where they are fewer than `FEWEST`.
    """
    n = len(recordings)
    if n < FEWEST:
        carried = f"; {n} could promise no less than {smallest_promise(n):.1%}" if n else ""
        raise FitError(
            f"{n} recordings with speech are too few to calibrate on: give {FEWEST} or more, each of another person "
            f"or occasion{carried}"
        )
    calibration = Calibration(loss_curve(list(recordings)), n, artifact.calibration.nonspeech)
    info = {key: value for key, value in artifact.info.items() if key != "strata"}
    return replace(
        artifact,
        name=artifact.name.removesuffix(SUFFIX) + SUFFIX,
        calibration=calibration,
        info={
            **info,
            RECALIBRATED: {"recordings": n, "former_utterances": artifact.calibration.utterances},
            "calibration": {"utterances": n, "smallest_promise": smallest_promise(n)},
        },
    )
