"""If these fail, words at the edges of spans are cut off, or the promise is about other spans than are decoded."""

from __future__ import annotations

import numpy as np
import pytest

from whisper_steer.gate.spans import GAP, MARGIN, STEP_SECONDS, Span, audible, spans_of

SHUT, OPEN = -5.0, 5.0
MARGIN_STEPS, GAP_STEPS = round(MARGIN / STEP_SECONDS), round(GAP / STEP_SECONDS)


def evidence_of(n: int, *spoken: tuple[int, int]) -> np.ndarray:
    """Steps of silence, and of speech from the first to before the last."""
    evidence = np.full(n, SHUT, np.float32)
    for first, last in spoken:
        evidence[first:last] = OPEN
    return evidence


def places(evidence: np.ndarray, seconds: float | None = None) -> list[tuple[int, int]]:
    """The spans in steps."""
    found = spans_of(evidence, 0.0, len(evidence) * STEP_SECONDS if seconds is None else seconds)
    return [(round(s.start / STEP_SECONDS), round(s.end / STEP_SECONDS)) for s in found]


def test_a_span_reaches_half_a_second_beyond_its_speech() -> None:
    assert places(evidence_of(1000, (400, 420))) == [(400 - MARGIN_STEPS, 420 + MARGIN_STEPS)]
    assert pytest.approx(0.5, abs=STEP_SECONDS) == MARGIN_STEPS * STEP_SECONDS


def test_short_pauses_are_no_pauses() -> None:
    """Of the gap between the margins, not of that between the words."""
    first, apart = (300, 320), 2 * MARGIN_STEPS + GAP_STEPS
    joined = evidence_of(1000, first, (320 + apart - 1, 500))
    assert places(joined) == [(300 - MARGIN_STEPS, 500 + MARGIN_STEPS)]
    kept = evidence_of(1000, first, (320 + apart, 500))
    assert places(kept) == [
        (300 - MARGIN_STEPS, 320 + MARGIN_STEPS),
        (320 + apart - MARGIN_STEPS, 500 + MARGIN_STEPS),
    ]


def test_short_gaps_at_the_edges_of_the_recording_are_spoken_too() -> None:
    """The first word may be quiet, and a window starts better where the recording does."""
    near = MARGIN_STEPS + GAP_STEPS
    assert places(evidence_of(1000, (near - 1, 500)))[0][0] == 0
    assert places(evidence_of(1000, (near, 500)))[0][0] == GAP_STEPS
    assert places(evidence_of(1000, (500, 1000 - near + 1)))[-1][1] == 1000
    assert places(evidence_of(1000, (500, 1000 - near)))[-1][1] == 1000 - GAP_STEPS


def test_a_span_to_the_end_ends_with_the_last_sample() -> None:
    """The last step is seldom whole: nothing behind the recording may be asked for."""
    (span,) = spans_of(evidence_of(100, (0, 100)), 0.0, 3.987)
    assert span == Span(0.0, 3.987, OPEN)
    assert span.seconds == 3.987


def test_a_span_knows_its_strongest_step() -> None:
    evidence = evidence_of(1000, (300, 320), (700, 720))
    evidence[310], evidence[705] = 7.0, 9.0
    assert [span.evidence for span in spans_of(evidence, 0.0, 40.0)] == [7.0, 9.0]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_nothing_and_next_to_nothing(n: int) -> None:
    assert spans_of(np.full(n, SHUT, np.float32), 0.0, n * STEP_SECONDS) == []
    assert len(audible(np.full(n, SHUT, np.float32))) == n
    if n:
        assert places(np.full(n, OPEN, np.float32)) == [(0, n)]


@pytest.mark.parametrize("seed", range(12))
def test_the_calibrations_view_of_spans_is_that_of_the_runtimes(seed: int) -> None:
    """A step is in a span at a threshold where, and only where, `audible` reaches the threshold: away from the edges,
    where spans may be wider and lose less."""
    rng = np.random.default_rng(seed)
    steps = np.repeat(rng.normal(size=400), rng.integers(1, 30, 400))  # stretches, as speech and pauses are
    evidence = (3 * steps + rng.normal(size=len(steps))).astype(np.float32)
    heard = audible(evidence)
    edge = 200
    for threshold in rng.choice(evidence, 20):
        inside = np.zeros(len(evidence), bool)
        for first, last in [
            (round(s.start / STEP_SECONDS), round(s.end / STEP_SECONDS))
            for s in spans_of(evidence, float(threshold), len(evidence) * STEP_SECONDS)
        ]:
            inside[first:last] = True
        reached = heard >= threshold
        assert np.array_equal(inside[edge:-edge], reached[edge:-edge])
        assert not (reached & ~inside).any()
