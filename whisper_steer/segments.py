"""Segments of a window with speech that lie, by their timestamps, where nobody speaks: their text is taken out.

A window may hold twenty seconds of music and then a word. It is decoded as stock decodes it, and what stock wrote into
the music goes. The timestamps stay, so that the next window starts where stock's does.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from whisper.audio import CHUNK_LENGTH, TOKENS_PER_SECOND

from whisper_steer.steering import Decision

BLANK = 198
"""the token of a line break in both of Whisper's vocabularies. A segment of it counts as empty in every runtime; one of
a space would as well, but word timestamps merge a space into the next segment's first word."""


def take_out_unspoken(tokens: Sequence[int], decision: Decision, first_timestamp: int) -> list[int]:
    """One window's tokens with `BLANK` for the text of segments in which nobody is heard.

    Segments are those that Whisper makes of the tokens: where no two timestamps follow each other, the text is one
    segment from the window's start; text without a timestamp behind it reaches to the window's end.
    """
    times = [token >= first_timestamp for token in tokens]
    cut = any(a and b for a, b in pairwise(times))
    out: list[int] = []
    text: list[int] = []
    start = 0.0

    def close(end: float) -> None:
        if text:
            out.extend(text if decision.heard(start, end) else [BLANK])
            text.clear()

    for token, is_time in zip(tokens, times, strict=True):
        if is_time:
            time = (token - first_timestamp) / TOKENS_PER_SECOND
            close(time)
            start = time if cut else 0.0
            out.append(token)
        else:
            text.append(token)
    close(CHUNK_LENGTH)
    return out
