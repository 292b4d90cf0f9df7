"""Loops in a decoder's tokens: the same unit, a word or a sentence, again and again up to the last token; and in text.

Timestamps are passed over: a loop of sentences has others in every repetition. Somebody may really say a thing again
and again, which the tokens alone do not tell; `whisper_steer.guard.attention` does.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LONGEST = 60
"""tokens of a unit"""
FEWEST_TOKENS = 12
"""in all repetitions together"""
FEWEST_TIMES = 3
"""a unit stands there"""
LOOP_RATIO = 2.4
"""of a text to itself compressed"""


Unit = tuple[int, ...]
"""the tokens of a loop's unit, sorted: the same wherever in it a loop begins"""


@dataclass(frozen=True)
class Loop:
    """Repetitions that the tokens end in."""

    period: int
    """text tokens of the unit"""
    times: int
    """whole units"""
    places: tuple[int, ...]
    """where the text tokens of all whole units stand among the tokens, timestamps counted"""

    @property
    def kept(self) -> int:
        """How many of the tokens stand up to the end of the first unit."""
        return self.places[self.period - 1] + 1

    def unit(self, tokens: Sequence[int]) -> Unit:
        """Of the tokens that it was found in, or of those up to the end of the first unit."""
        return tuple(sorted(tokens[place] for place in self.places[: self.period]))

    @property
    def wait(self) -> int:
        """After how many more tokens to look again, where this turned out to be said."""
        return max(self.period, self.times * self.period // 2)


def ending(tokens: Sequence[int], first_time: int) -> Loop | None:
    """The loop that sampled tokens end in; tokens from ``first_time`` on are timestamps.

    A unit of one token must stand there 12 times, of two 6, of three 4, a longer one 3 times. The shortest unit that
    does is named, and as many repetitions as there are.
    """
    if not tokens or tokens[-1] >= first_time:
        return None
    places = [i for i, token in enumerate(tokens) if token < first_time]
    text = [tokens[i] for i in places]
    n = len(text)
    for period in range(1, min(LONGEST, n // FEWEST_TIMES) + 1):
        if text[-1] != text[-1 - period]:
            continue
        same = 1
        while same + period < n and text[-1 - same] == text[-1 - same - period]:
            same += 1
        times = same // period + 1
        if times >= FEWEST_TIMES and times * period >= FEWEST_TOKENS:
            return Loop(period, times, tuple(places[n - times * period :]))
    return None


class Looking:
    """Looks at one window's tokens as they grow; tokens from ``first_time`` on are timestamps.

    ``is_loop``: whether repetitions that the tokens end in are a loop. Where they were said, it looks again when there
    are half as many more.
    """

    def __init__(self, first_time: int, is_loop: Callable[[Sequence[int], Loop], bool]) -> None:
        self._first_time, self._is_loop, self._from = first_time, is_loop, 0

    def at(self, sampled: Sequence[int]) -> Loop | None:
        """The loop that the tokens so far end in."""
        if len(sampled) < self._from:
            return None
        loop = ending(sampled, self._first_time)
        if loop is None or self._is_loop(sampled, loop):
            return loop
        self._from = len(sampled) + loop.wait
        return None

    def first(self, sampled: Sequence[int]) -> Loop | None:
        """The first loop in finished tokens, as if they grew."""
        grown = (self.at(sampled[:n]) for n in range(FEWEST_TOKENS, len(sampled) + 1))
        return next((loop for loop in grown if loop), None)


def first(sampled: Sequence[int], first_time: int) -> Loop | None:
    """The first loop in finished tokens, by the tokens alone."""
    return Looking(first_time, lambda _sampled, _loop: True).first(sampled)


def is_loop(text: str) -> bool:
    """A repetition loop, by Whisper's own measure: the text compresses more than 2.4-fold under zlib."""
    data = text.strip().encode("utf-8")
    return len(data) / len(zlib.compress(data)) > LOOP_RATIO


__all__ = ["Looking", "Loop", "Unit", "ending", "first", "is_loop"]
