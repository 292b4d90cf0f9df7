"""What one clip contributes to each figure: pure functions of a system's `Output` and the clip's reference.

The three false-speech rates are never mixed:
- ``fsr_text``: any text is left after all of the decoder's own filters (normalised, tags stripped);
- ``fsr_score``: Whisper's own skip rule would not have dropped the window, whatever was written:
  not (no_speech_prob > 0.6 and avg_logprob <= -1.0);
- ``fsr_raw``: any text comes out with every threshold of the decoder off (the first, greedy decoding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jiwer

from whisper_steer.data.normalize import normalize
from whisper_steer.fit.strengths import skipped_by_whisper

"""Whisper's own compression ratio above which it calls a text a repetition loop"""
C_WEIGHTS = (0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass
class Window:
    """One decoded window: the scores of the result that was kept, and the text of the first, greedy attempt."""

    no_speech_prob: float
    avg_logprob: float
    raw_text: str


@dataclass
class Output:
    """What a system wrote for one clip."""

    text: str
    segments: list[dict[str, Any]] = field(default_factory=list)
    """start, end (seconds), text, tokens of each"""
    windows: list[Window] = field(default_factory=list)
    """windows that reached the decoder; a window that a gate suppressed is not among them"""
    score: float | None = None
    """speech evidence of the clip, for systems that decide by a threshold"""
    seconds: float | None = None
    """wall-clock time, as measured when it was not taken from the store"""
    cpu: float | None = None
    """seconds of processor time, those of what was taken from the store included"""

    @property
    def tokens(self) -> list[int]:
        return [token for segment in self.segments for token in segment["tokens"]]


@dataclass(frozen=True)
class WordCounts:
    """Edit operations of one utterance against its reference of ``words`` words."""

    words: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions


def has_text(text: str, normalizer: str = "english") -> bool:
    """Whether a letter or digit is left once normalised and stripped of tags."""
    return any(sign.isalnum() for sign in normalize(text, normalizer))


def false_text(output: Output, normalizer: str = "english") -> bool:
    return has_text(output.text, normalizer)


def false_score(output: Output) -> bool:
    return any(not skipped_by_whisper(w.no_speech_prob, w.avg_logprob) for w in output.windows)


def false_raw(output: Output, normalizer: str = "english") -> bool:
    return any(has_text(w.raw_text, normalizer) for w in output.windows)


def invented_words(output: Output, normalizer: str = "english") -> int:
    """Words written on a clip in which nobody speaks: the numerator of F, per minute."""
    return sum(has_text(word, normalizer) for word in normalize(output.text, normalizer).split())


def word_counts(reference: str, text: str, normalizer: str) -> WordCounts | None:
    """S, D, I of one utterance after normalisation, by jiwer. None where the reference has no words left.

    With the normaliser ``characters`` these are characters and the error rate is a CER.
    """
    truth, written = normalize(reference, normalizer), normalize(text, normalizer)
    words = len(truth.split())
    if not words:
        return None
    if not written:
        return WordCounts(words, 0, words, 0)
    counted = jiwer.process_words(truth, written)
    return WordCounts(words, counted.substitutions, counted.deletions, counted.insertions)


def same_tokens(a: Sequence[int], b: Sequence[int]) -> bool:
    return list(a) == list(b)


def combined_cost(invented_per_minute: float, deleted_per_minute: float, k: float) -> float:
    """C_k = F + k D (arXiv 2608.15940): words invented per minute of non-speech, deleted per minute of speech."""
    return invented_per_minute + k * deleted_per_minute
