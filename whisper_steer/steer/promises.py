"""What an artifact can promise: the threshold for several shares of speech left out, and what it stops there."""

from __future__ import annotations

from whisper_steer.gate.conformal import choose_threshold, conformal_threshold, smallest_promise
from whisper_steer.steer.artifact import Artifact

PROMISES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
"""largest shares of speech left out, for which thresholds are shown"""


def thresholds(artifact: Artifact) -> list[dict[str, float]]:
    """One row for each of `PROMISES` that the calibration can keep.

    ``conformal``: the highest threshold that keeps it. ``threshold``: the one in use, see `gate.conformal`.
    ``speech_lost``: at most that share of a held-out utterance is left out there, in the mean; ``nonspeech_stopped``:
    the share of held-out clips without speech that are left out whole. Evidence and thresholds are logits.
    """
    curve, n = artifact.calibration.curve, artifact.calibration.utterances
    nonspeech = artifact.calibration.nonspeech
    rows = []
    for promise in PROMISES:
        if promise >= smallest_promise(n):
            used = choose_threshold(curve, n, nonspeech, promise)
            reached = curve[curve[:, 0] < used]
            rows.append(
                {
                    "max_suppressed_speech": promise,
                    "conformal": conformal_threshold(curve, n, promise),
                    "threshold": used,
                    "speech_lost": float(curve[min(len(reached), len(curve) - 1), 1])
                    if len(reached)
                    else 0.0,
                    "nonspeech_stopped": float((nonspeech < used).float().mean()),
                }
            )
    return rows


__all__ = ["PROMISES", "thresholds"]
