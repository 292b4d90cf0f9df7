"""If these fail, starts and ends are told late, twice or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from whisper_steer.gate.spans import MARGIN
from whisper_steer.live.turns import ABOVE, AHEAD, BEHIND, HOLD, Event, Turns

HOP = 6


def told(evidence: np.ndarray, threshold: float = 0.0) -> list[Event]:
    """A stream whose steps are known: six more every 0.24 s."""
    turns = Turns(threshold)
    found = []
    for end in range(HOP, len(evidence) + 1, HOP):
        first = max(0, end - 96)
        found.append(turns.hear(first, evidence[first:end], round(end * 0.04, 2)))
    found.append(turns.finish(len(evidence) * 0.04))
    return [event for event in found if event]


def steps(seconds: float, spoken: list[tuple[float, float]], value: float = 5.0) -> np.ndarray:
    evidence = np.full(round(seconds / 0.04), -5.0, np.float32)
    for start, end in spoken:
        evidence[round(start / 0.04) : round(end / 0.04)] = value
    return evidence


def test_a_start_and_an_end_are_told_within_a_second() -> None:
    start, end = told(steps(10, [(3.0, 5.0)]))
    assert (start.kind, end.kind) == ("start", "end")
    assert (start.time, end.time) == pytest.approx((3.0 - MARGIN, 5.0 + MARGIN), abs=0.05)
    assert AHEAD < start.heard_at - 3.0 <= AHEAD + 0.28
    assert BEHIND + HOLD <= end.heard_at - 5.0 <= BEHIND + HOLD + 0.28 < 1.0
    assert end.evidence == 5.0


def test_a_short_break_is_no_end() -> None:
    assert len(told(steps(10, [(3.0, 4.0), (4.0 + HOLD - 0.08, 6.0)]))) == 2
    assert len(told(steps(10, [(3.0, 4.0), (5.5, 6.0)]))) == 4


def test_speech_goes_on_at_the_threshold_but_starts_above_it() -> None:
    evidence = steps(10, [(3.0, 4.0)])
    evidence[100:200] = ABOVE / 2
    start, end = told(evidence)
    assert end.time > 8.0 and start.time < 3.0
    assert told(steps(10, [(3.0, 6.0)], ABOVE / 2)) == []


def test_spans_do_not_overlap_and_lie_within_what_was_heard() -> None:
    events = told(steps(12.2, [(0.0, 1.0), (2.0, 3.0), (11.0, 12.2)]))
    times = [event.time for event in events]
    assert times == sorted(times) and times[0] == 0.0
    assert [event.kind for event in events] == ["start", "end"] * 3
    assert events[-1].time <= 12.2
    assert all(event.time <= event.heard_at for event in events)


def test_nothing_heard_is_nothing_told() -> None:
    assert told(steps(5, [])) == []
    assert Turns(0.0).hear(0, np.zeros(0, np.float32), 0.0) is None
