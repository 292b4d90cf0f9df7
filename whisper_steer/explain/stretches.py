"""A recording explained: its spans of speech and what lies between them, with what is heard in each and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor, nn

from whisper_steer.encoders.prefix import Prefix
from whisper_steer.explain.names import Names
from whisper_steer.explain.sounds import SILENCE
from whisper_steer.explain.trace import Reason, Trace, trace
from whisper_steer.gate.hearing import Hearing
from whisper_steer.steer.steering import Steering

SHOWN = 3
"""names of a stretch, and reasons on either side, that are shown"""
AUDIBLE = 0.5
"""standard deviations above the usual from which on a name is heard"""


@dataclass(frozen=True)
class Heard:
    """A name that is heard in a stretch."""

    name: str
    score: float
    """see `Trace.scores`"""
    precision: float
    """the best of its latents that fire there"""


@dataclass(frozen=True)
class Stretch:
    """A span of speech, or what lies between two."""

    start: float
    end: float
    speech: bool
    evidence: float
    """logit: the strongest there"""
    heard: list[Heard]
    """the strongest first, at most `SHOWN`"""
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
    """The names heard between two places, the strongest first. Silence comes last: it lies between all sounds."""
    precision = found.firing_names(start, end)
    scores = found.scores(start, end)
    ranked = sorted(precision, key=lambda name: (name == SILENCE, -scores[name]))
    return [Heard(n, round(scores[n], 2), precision[n]) for n in ranked if scores[n] >= AUDIBLE][:SHOWN]


__all__ = ["Explaining", "Explanation", "Heard", "Stretch", "heard"]
