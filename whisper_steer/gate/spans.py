"""Spans of speech from the evidence of steps: margins, gaps that close, and how much of an utterance they leave out.

At a threshold, the steps that reach it are speech, so is what lies within `MARGIN` of them, and so are gaps shorter
than `GAP` between two such stretches. The same rule as a function of the threshold: `audible` gives, for every step,
the largest threshold at which the step lies in a span. Its superlevel sets are the spans, which makes the promise of
`whisper_steer.gate.conformal` a statement about spans.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

STEP_SECONDS = 0.04
"""two of the encoder's frames"""
MARGIN = 0.5
"""seconds that a span reaches beyond the steps that are judged speech"""
GAP = 2.0
"""seconds; shorter gaps between spans, and before the first and behind the last, are no pauses"""

Evidence = npt.NDArray[np.float32]
"""(steps,) logits of "here somebody speaks", one a step of 40 ms"""

_margin, _gap = (round(seconds / STEP_SECONDS) for seconds in (MARGIN, GAP))


@dataclass(frozen=True)
class Span:
    """A stretch of a recording in which somebody speaks."""

    start: float
    """seconds"""
    end: float
    evidence: float
    """logit: its strongest step"""

    @property
    def seconds(self) -> float:
        return self.end - self.start


def audible(evidence: Evidence) -> Evidence:
    """(steps,) the largest threshold at which each step lies in a span, edges of the recording apart."""
    if not len(evidence):
        return evidence
    wide = ndimage.grey_dilation(evidence, 2 * _margin + 1, mode="nearest")
    padded = np.pad(wide, _gap, constant_values=-np.inf)
    return np.asarray(ndimage.grey_closing(padded, _gap)[_gap:-_gap], np.float32)


def spans_of(evidence: Evidence, threshold: float, seconds: float) -> list[Span]:
    """The spans of a recording of so many seconds, in order; none where no step reaches the threshold."""
    if not len(evidence):
        return []
    runs = runs_of(ndimage.binary_dilation(evidence >= threshold, np.ones(2 * _margin + 1)))
    if not runs:
        return []
    last = len(evidence)
    joined = [[0 if runs[0][0] < _gap else runs[0][0], runs[0][1]]]
    for start, end in runs[1:]:
        if start - joined[-1][1] < _gap:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    if last - joined[-1][1] < _gap:
        joined[-1][1] = last
    return [
        Span(
            round(start * STEP_SECONDS, 2),
            seconds if end == last else round(end * STEP_SECONDS, 2),
            float(evidence[start:end].max()),
        )
        for start, end in joined
    ]


def runs_of(steps: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and behind the last of each run of True in (n,) bool."""
    return [(part.start, part.stop) for (part,) in ndimage.find_objects(ndimage.label(steps)[0])]
