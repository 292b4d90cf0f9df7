"""Segments of a window with speech that lie, by their timestamps, where nobody speaks: their text is taken out.

A window may hold twenty seconds of music and then a word. It is decoded as stock decodes it, and what stock wrote into
the music goes. The timestamps stay, so that the next window starts where stock's does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, pairwise

from whisper.audio import CHUNK_LENGTH, TOKENS_PER_SECOND

from whisper_steer.steering import Decision

BLANK = 198
"""the token of a line break in both of Whisper's vocabularies. A segment of it counts as empty in every runtime; one of
a space would as well, but word timestamps merge a space into the next segment's first word."""


def unspoken(
    places: Sequence[tuple[float, float]], decision: Decision, until: float = CHUNK_LENGTH
) -> list[bool]:
    """Which of a window's segments, (start, end) in seconds each, lie where nobody is heard.

    None does where a stretch of speech that starts before ``until`` would be left without text: Whisper's timestamps
    are wrong there, and what they place into a pause may have been said.
    """
    heard = [decision.heard(*place) for place in places]
    kept = [place for place, kept in zip(places, heard, strict=True) if kept]
    for first, last in decision.speech or ():
        if first < until and not any(start < last and first < end for start, end in kept):
            return [False] * len(places)
    return [not each for each in heard]


def take_out_unspoken(tokens: Sequence[int], decision: Decision, first_timestamp: int) -> list[int]:
    """One window's tokens with `BLANK` for the text of segments that are `unspoken`.

    Segments are those that Whisper makes of the tokens: where no two timestamps follow each other, the text is one
    segment from the window's start; text without a timestamp behind it reaches to the window's end. Where the window
    ends with two timestamps, the next one starts there: speech behind is its own.
    """
    times = [token >= first_timestamp for token in tokens]
    cut = any(a and b for a, b in pairwise(times))
    texts: list[list[int]] = []
    places: list[tuple[float, float]] = []
    start, last = 0.0, CHUNK_LENGTH
    for is_time, run in groupby(range(len(tokens)), key=times.__getitem__):
        indices = list(run)
        if not is_time:
            texts.append(indices)
            continue
        first, last = ((tokens[i] - first_timestamp) / TOKENS_PER_SECOND for i in (indices[0], indices[-1]))
        if len(texts) > len(places):
            places.append((start, first))
        start = last if cut else 0.0
    if len(texts) > len(places):
        places.append((start, CHUNK_LENGTH))
    goes_on = len(times) > 1 and times[-1] and times[-2]
    out = list(tokens)
    taken = unspoken(places, decision, last if goes_on else CHUNK_LENGTH)
    for indices, gone in reversed([*zip(texts, taken, strict=True)]):
        if gone:
            out[indices[0] : indices[-1] + 1] = [BLANK]
    return out
