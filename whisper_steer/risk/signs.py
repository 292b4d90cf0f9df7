"""What is known of a segment beside the decoder's states, as numbers: what was heard, and what stock reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from whisper.utils import compression_ratio

from whisper_steer.gate.hearing import Hearing
from whisper_steer.gate.spans import STEP_SECONDS

LIMIT = 20.0
"""no logit counts for more: one that is infinite says that a window could not be judged"""

Sign = Callable[[Mapping[str, Any], Hearing], float]


def _logit(p: float) -> float:
    p = min(max(p, 1e-8), 1 - 1e-8)
    return math.log(p / (1 - p))


def _limited(x: float) -> float:
    return 0.0 if math.isnan(x) else min(max(x, -LIMIT), LIMIT)


def _mean_evidence(segment: Mapping[str, Any], hearing: Hearing) -> float:
    last = len(hearing.evidence) - 1
    first = min(max(0, int(segment["start"] / STEP_SECONDS)), last)
    there = hearing.evidence[first : max(first + 1, round(segment["end"] / STEP_SECONDS))]
    return float(there.clip(-LIMIT, LIMIT).mean())


def _seconds(segment: Mapping[str, Any]) -> float:
    return max(float(segment["end"] - segment["start"]), 0.1)


SIGNS: dict[str, Sign] = {
    "strongest evidence": lambda s, h: _limited(h.strongest(s["start"], s["end"])),
    "mean evidence": _mean_evidence,
    "seconds": lambda s, h: math.log(_seconds(s)),
    "letters per second": lambda s, h: math.log1p(len(s["text"].strip()) / _seconds(s)),
    "own compression": lambda s, h: compression_ratio(s["text"].strip() or "."),
    "no_speech_prob": lambda s, h: _logit(s["no_speech_prob"]),
    "avg_logprob": lambda s, h: _limited(s["avg_logprob"]),
    "compression_ratio": lambda s, h: min(s["compression_ratio"], LIMIT),
}
"""evidence in logits; times in log seconds; the rest as stock has it, ``no_speech_prob`` as a logit"""
SCORES = ("no_speech_prob", "avg_logprob", "compression_ratio")
"""stock's own, of the window that a segment lies in"""
HEARD = tuple(name for name in SIGNS if name not in SCORES)
"""what is known in every runtime"""


def signs(segment: Mapping[str, Any], hearing: Hearing, names: tuple[str, ...]) -> list[float]:
    """The numbers of those names for a segment with stock's fields."""
    return [SIGNS[name](segment, hearing) for name in names]


__all__ = ["HEARD", "LIMIT", "SCORES", "SIGNS", "signs"]
