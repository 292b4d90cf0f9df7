"""Words with times from what transformers gives: a time for every token, by dynamic time warping on cross-attention."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from whisper.timing import WordTiming, merge_punctuations
from whisper.tokenizer import Tokenizer

LONGEST_MEDIAN = 0.7
"""seconds; openai-whisper's `add_word_timestamps` has the same"""


def words_of(
    tokens: Sequence[int], times: Sequence[float], tokenizer: Tokenizer, prepend: str, append: str
) -> list[dict[str, Any]]:
    """The words of a segment: ``word``, ``start``, ``end`` in seconds of the recording.

    ``tokens``: the segment's, the timestamps among them. ``times``: where each ends, in seconds, so that each begins
    where the one before ends. Words are cut, and punctuation is joined to them, as openai-whisper does it; the first,
    which has the silence before it, lasts at most twice the median of the words, and that at most `LONGEST_MEDIAN`.
    """
    spoken = [i for i, token in enumerate(tokens) if token < tokenizer.eot]
    words, parts = tokenizer.split_to_word_tokens([*(tokens[i] for i in spoken), tokenizer.eot])
    found: list[WordTiming] = []
    at = 0
    for word, part in zip(words[:-1], parts[:-1], strict=True):
        first, last = spoken[at], spoken[at + len(part) - 1]
        at += len(part)
        found.append(WordTiming(word, list(part), times[max(first - 1, 0)], times[last], 0.0))
    lasting = [each.end - each.start for each in found if each.end > each.start]
    if lasting:
        found[0].start = max(found[0].start, found[0].end - 2 * min(median(lasting), LONGEST_MEDIAN))
    merge_punctuations(found, prepend, append)
    return [
        {"word": each.word, "start": round(each.start, 2), "end": round(each.end, 2)}
        for each in found
        if each.word
    ]


__all__ = ["words_of"]
