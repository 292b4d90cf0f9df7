"""A recording explained: its spans of speech and what lies between them, with what is heard in each and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor, nn

from whisper_steer.encoders.prefix import Prefix
from whisper_steer.explain.names import Names
from whisper_steer.explain.sounds import SENTENCES
from whisper_steer.explain.trace import Reason, Trace, trace
from whisper_steer.gate.hearing import Hearing
from whisper_steer.steer.steering import Steering

SHOWN = 3
"""names of a stretch, and reasons on either side, that are shown"""
AUDIBLE = 0.1
"""probability from which on a name is told"""
SURE = 0.5
"""probability from which on the narrow name is told rather than a wider one that is as likely"""


@dataclass(frozen=True)
class Heard:
    """A name that is heard in a stretch."""

    name: str
    probability: float
    """that a listener calls it so, among what was labelled: see `whisper_steer.explain.vote`"""


@dataclass(frozen=True)
class Stretch:
    """A span of speech, or what lies between two."""

    start: float
    end: float
    speech: bool
    evidence: float
    """logit: the strongest there"""
    heard: list[Heard]
    """the likeliest first, at most `SHOWN`"""
    because: list[Reason]
    """the weightiest first"""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Explanation:
    """What was heard in a recording and why."""

    hearing: Hearing
    trace: Trace
    stretches: list[Stretch]


class Explaining:
    """An artifact's names, ready to explain recordings by an encoder. Raises `ArtifactError` where it has none."""

    def __init__(self, steering: Steering, encoder: nn.Module) -> None:
        artifact = steering.artifact
        self.names = Names.load(artifact.path, (artifact.fingerprint, artifact.fingerprint_bfloat16))
        self.prefix = Prefix(encoder, self.names.point)
        self.gate = artifact.gate if artifact.gate_point == self.names.point else None

    def trace(self, audio: np.ndarray | Tensor) -> Trace:
        """The named latents in samples (n,) float32 at 16 kHz."""
        return trace(self.prefix, self.gate, self.names, audio)

    def explain(self, audio: np.ndarray | Tensor, hearing: Hearing) -> Explanation:
        """All stretches of a recording that was listened to."""
        found = self.trace(audio)
        edges = {0.0, hearing.seconds, *(t for span in hearing.spans for t in (span.start, span.end))}
        stretches = []
        for start, end in pairwise(sorted(edges)):
            speech = any(span.start <= start and end <= span.end for span in hearing.spans)
            evidence = hearing.strongest(start, end)
            stretches.append(
                Stretch(start, end, speech, evidence, heard(found, start, end), found.reasons(start, end))
            )
        return Explanation(hearing, found, stretches)


def heard(found: Trace, start: float, end: float) -> list[Heard]:
    """What is heard between two places, the likeliest class first, each by its narrowest name that is `SURE`.

    Where none of a class's names is, by the narrowest. A wider name is told once.
    """
    classes = found.probabilities(start, end)
    likely: dict[str, float] = {}
    for names, probability in classes.items():
        for name in names:
            likely[name] = min(1.0, likely.get(name, 0.0) + probability)
    told: list[Heard] = []
    covered: set[str] = set()
    for names in sorted(classes, key=lambda names: -classes[names]):
        sayable = [name for name in names if name != SENTENCES]
        sure = (name for name in sayable if likely[name] >= SURE and name not in covered)
        name = next(sure, sayable[0])
        if likely[name] >= AUDIBLE and name not in covered:
            told.append(Heard(name, round(likely[name], 2)))
            covered.update(names)
    return told[:SHOWN]


__all__ = ["Explaining", "Explanation", "Heard", "Stretch", "heard"]
