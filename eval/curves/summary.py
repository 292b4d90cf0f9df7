"""Rows of the bench -> figures of each intervention with intervals, and its differences to stock on the same clips.

Intervals are percentile bootstraps over speakers and source recordings, stock and the intervention resampled together.
A clip's text is what is left after Whisper's own rule that drops a window (no_speech_prob > 0.6 and avg_logprob <= -1).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from whisper_steer.errors import DataError
from whisper_steer.fit.strengths import skipped_by_whisper

from ..intervals import Array, Estimate, bootstrap, group_sums, paired_difference, ratio
from ..metrics import has_text, word_counts
from .bench import CLIPS, ROWS, STOCK

FALSE_SPEECH = {
    "fsr_text": "text that Whisper's rule leaves",
    "fsr_raw": "any text",
    "fsr_score": "Whisper's rule keeps the window (no_speech_prob <= 0.6 or avg_logprob > -1; arXiv 2606.07473)",
    "fsr_no_speech": "no_speech_prob < 0.5 (arXiv 2602.05027)",
}
"""shares of non-speech clips"""
SPEECH = {
    "wer": "errors over words, Whisper's normaliser",
    "empty": "share of speech clips left empty",
}
AUDIOSAE_THRESHOLD = 0.5


@dataclass(frozen=True)
class Point:
    """An intervention in one mode. Shares and WER are of 1, not of 100."""

    mode: str
    group: str
    name: str
    strength: float
    figures: dict[str, Estimate]
    """of FALSE_SPEECH and SPEECH"""
    changes: dict[str, Estimate]
    """the same less stock's, paired"""
    removed: dict[str, Estimate]
    """of FALSE_SPEECH: the share of stock's false speech that is gone (negative where there is more)"""

    def to_dict(self) -> dict[str, Any]:
        parts = {"figures": self.figures, "changes": self.changes, "removed": self.removed}
        return {"mode": self.mode, "group": self.group, "name": self.name, "strength": self.strength} | {
            part: {name: estimate.to_dict() for name, estimate in estimates.items()}
            for part, estimates in parts.items()
        }


def summarise(out: Path) -> list[Point]:
    """Every intervention that a run of `Bench.measure` has in its folder, stock first, in each mode.

    Raises `DataError` where the folder holds no run.
    """
    try:
        clips = {c["id"]: c for c in map(json.loads, (out / CLIPS).read_text(encoding="utf-8").splitlines())}
        rows = [json.loads(line) for line in (out / ROWS).read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"{out} holds no run of the bench ({error}); measure there first") from error
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault((row["mode"], row["intervention"]), {})[row["clip"]] = row
    points = []
    for (mode, name), written in found.items():
        stock = found.get((mode, STOCK.name), {})
        if len(written) == len(stock) == len(clips):
            points.append(_point(mode, name, clips, written, stock))
    return sorted(points, key=lambda p: (p.mode, p.name != STOCK.name, p.group, p.strength))


def _point(
    mode: str,
    name: str,
    clips: dict[str, dict[str, Any]],
    written: dict[str, dict[str, Any]],
    stock: dict[str, dict[str, Any]],
) -> Point:
    figures: dict[str, Estimate] = {}
    changes: dict[str, Estimate] = {}
    removed: dict[str, Estimate] = {}
    nonspeech = [clip for clip in clips.values() if clip["kind"] == "nonspeech"]
    spoken = [clip for clip in clips.values() if clip["kind"] == "speech"]
    for figure, counts in _FALSE.items():
        ours, theirs = (
            [float(counts(rows[clip["id"]], clip)) for clip in nonspeech] for rows in (written, stock)
        )
        groups, ones = [clip["group"] for clip in nonspeech], [1.0] * len(nonspeech)
        figures[figure] = bootstrap(group_sums(groups, [ours, ones]), ratio())
        changes[figure] = paired_difference(groups, ours, theirs, ones)
        removed[figure] = bootstrap(group_sums(groups, [ours, theirs]), _removed)
    for figure, errors in _SPOKEN.items():
        pairs = [(errors(written[c["id"]], c), errors(stock[c["id"]], c), c["group"]) for c in spoken]
        counted = [(ours, theirs, group) for ours, theirs, group in pairs if ours and theirs]
        groups, per = [group for *_, group in counted], [ours[1] for ours, *_ in counted]
        mine, base = [ours[0] for ours, *_ in counted], [theirs[0] for _, theirs, _ in counted]
        figures[figure] = bootstrap(group_sums(groups, [mine, per]), ratio())
        changes[figure] = paired_difference(groups, mine, base, per)
    row = next(iter(written.values()))
    return Point(mode, row["group"], name, row["strength"], figures, changes, removed)


def _removed(totals: Array) -> Array:
    return 1.0 - ratio()(totals)


Row = dict[str, Any]
Counts = tuple[float, float]


def _skipped(row: Row) -> bool:
    return skipped_by_whisper(row["no_speech_prob"], row["avg_logprob"])


def _left(row: Row) -> str:
    return "" if _skipped(row) else str(row["text"])


_has_text = cache(has_text)
_word_counts = cache(word_counts)


def _wer(row: Row, clip: Row) -> Counts | None:
    counted = _word_counts(clip["text"], _left(row), clip["normalizer"]) if clip["text"] else None
    return (counted.errors, counted.words) if counted else None


def _empty(row: Row, clip: Row) -> Counts | None:
    return float(not _has_text(_left(row), clip["normalizer"])), 1.0


_FALSE: dict[str, Callable[[Row, Row], bool]] = {
    "fsr_text": lambda row, clip: _has_text(_left(row), clip["normalizer"]),
    "fsr_raw": lambda row, clip: _has_text(row["text"], clip["normalizer"]),
    "fsr_score": lambda row, clip: not _skipped(row),
    "fsr_no_speech": lambda row, clip: bool(row["no_speech_prob"] < AUDIOSAE_THRESHOLD),
}
_SPOKEN: dict[str, Callable[[Row, Row], Counts | None]] = {"wer": _wer, "empty": _empty}


def best_at(points: Sequence[Point], figure: str, price: float) -> Point | None:
    """Of a method's points the one that removes most false speech at no more than ``price`` added WER (0.004: 0.4
    points); None where every strength costs more."""
    affordable = [p for p in points if p.changes["wer"].value <= price + 1e-9]
    return max(affordable, key=lambda p: p.removed[figure].value, default=None)
