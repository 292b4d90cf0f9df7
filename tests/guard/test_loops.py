"""If these fail, a loop goes on unseen, or text that only repeats a little is looked at in every window."""

from __future__ import annotations

import pytest
from whisper.utils import compression_ratio

from whisper_steer.guard.loops import ending, is_loop

TIME = 1000
"""the first timestamp"""


@pytest.mark.parametrize(("unit", "times"), [([1], 12), ([1, 2], 6), ([1, 2, 3], 4), (list(range(9)), 3)])
def test_a_unit_is_a_loop_once_it_stands_there_often_enough(unit: list[int], times: int) -> None:
    before = [50, 51]
    assert ending(before + unit * (times - 1), TIME) is None
    found = ending(before + unit * times, TIME)
    assert found is not None
    assert (found.period, found.times, found.kept) == (len(unit), times, len(before) + len(unit))


def test_timestamps_are_passed_over() -> None:
    """A sentence that loops has other times in every repetition."""
    tokens = [t for i in range(3) for t in (TIME + 2 * i, 5, 6, 7, 8, TIME + 2 * i + 1)]
    assert ending(tokens, TIME) is None  # it ends in a timestamp: nothing new was said
    found = ending(tokens[:-1], TIME)
    assert found is not None
    assert (found.period, found.times, found.kept) == (4, 3, 5)


def test_what_changes_a_little_is_none() -> None:
    """People count."""
    assert ending([t for i in range(10) for t in (7, 20 + i)], TIME) is None


def test_loops_are_what_whisper_calls_loops() -> None:
    loop, sentence = "so the other the other " * 20, "it seems probable that there are only a few"
    assert is_loop(loop)
    assert compression_ratio(loop) > 2.4
    assert not is_loop(sentence)
    assert not is_loop("")
