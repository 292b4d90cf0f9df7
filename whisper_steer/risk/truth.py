"""Which segments say what nobody said, by what is known of the audio: the labels that the risk is fitted and tested on.

A segment is wrong where nobody speaks in its time, where it is a loop, where two thirds of its words or more are
insertions in the alignment with the reference, or where none of at least three words is right. It is right where
eight in ten of its words or more are, and at most one in ten is an insertion. What lies between is neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jiwer

from whisper_steer.data.clips import Clip
from whisper_steer.data.normalize import normalize
from whisper_steer.data.recordings import Script
from whisper_steer.eval.metrics import has_text
from whisper_steer.guard.loops import is_loop

KINDS = ("non-speech", "pause", "loop", "insertions", "nothing right")
"""ways to be wrong"""
RIGHT, BETWEEN = "right", "between"


@dataclass(frozen=True)
class Truth:
    """Of a segment."""

    kind: str
    """one of `KINDS`, or "right", or "between" """
    words: int
    hits: int
    insertions: int


def truths(clip: Clip, segments: Sequence[dict[str, Any]]) -> list[Truth | None]:
    """Of segments with "start", "end" and "text"; None for one without words."""
    words = [_words(segment["text"], clip.normalizer) for segment in segments]
    counts = _counts(_words(clip.text or "", clip.normalizer), words)
    found: list[Truth | None] = []
    for segment, written, (hits, insertions) in zip(segments, words, counts, strict=True):
        if not written:
            found.append(None)
            continue
        kind = _kind(clip, segment, len(written), hits, insertions)
        found.append(Truth(kind, len(written), hits, insertions))
    return found


def _words(text: str, normalizer: str) -> list[str]:
    return [word for word in normalize(text, normalizer).split() if has_text(word, normalizer)]


def _counts(reference: list[str], written: list[list[str]]) -> list[tuple[int, int]]:
    """Of each segment the words that are right and those that were inserted, in one alignment of them all."""
    every = [word for words in written for word in words]
    if not reference or not every:
        return [(0, len(words)) for words in written]
    (chunks,) = jiwer.process_words(" ".join(reference), " ".join(every)).alignments
    kinds = ["substitute"] * len(every)
    for chunk in chunks:
        for i in range(chunk.hyp_start_idx, chunk.hyp_end_idx):
            kinds[i] = chunk.type
    found, at = [], 0
    for words in written:
        here = kinds[at : at + len(words)]
        found.append((here.count("equal"), here.count("insert")))
        at += len(words)
    return found


def _kind(clip: Clip, segment: dict[str, Any], words: int, hits: int, insertions: int) -> str:
    if is_loop(segment["text"]):
        return "loop"
    if clip.kind == "nonspeech":
        return "non-speech"
    if clip.kind == "recording" and not _spoken(Script.from_dict(clip.extra), segment):
        return "pause" if hits <= words / 2 else BETWEEN
    if insertions >= 2 / 3 * words:
        return "insertions"
    if hits == 0 and words >= 3:
        return "nothing right"
    return RIGHT if hits >= 0.8 * words and insertions <= 0.1 * words else BETWEEN


def _spoken(script: Script, segment: dict[str, Any]) -> bool:
    """Whether an utterance lies in a segment's time."""
    return any(part.start < segment["end"] and part.end > segment["start"] for part in script.utterances)


__all__ = ["BETWEEN", "KINDS", "RIGHT", "Truth", "truths"]
