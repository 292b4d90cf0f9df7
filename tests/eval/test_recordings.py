"""If these fail, the words that a system writes in pauses, or what it loses of speech, are counted wrongly."""

from __future__ import annotations

from typing import Any

import pytest

from whisper_steer.data.recordings import Part, Script
from whisper_steer.eval.metrics import Output
from whisper_steer.eval.recordings import Figures, align, estimate, figures, pooled

FIRST, SECOND = "alpha beta gamma delta epsilon zeta eta", "theta iota"
SCRIPT = Script(
    (
        Part(0, 10, filling="room"),
        Part(10, 14, FIRST, clip="a"),
        Part(14, 44, filling="noise"),
        Part(44, 46, SECOND, clip="b"),
        Part(46, 66, filling="silence"),
    )
)
SAID = [(10.2, 13.9, FIRST), (44.5, 46.0, SECOND)]


def wrote(*segments: tuple[float, float, str], cpu: float | None = None) -> Output:
    found: list[dict[str, Any]] = [
        {"start": start, "end": end, "text": f" {text}", "tokens": []}
        for start, end, text in sorted(segments)
    ]
    return Output(" ".join(s["text"] for s in found), found, cpu=cpu)


def of(*segments: tuple[float, float, str], cpu: float | None = None) -> Figures:
    return figures(SCRIPT, wrote(*segments, cpu=cpu), "english")


def test_what_was_said_where_it_was_said_has_no_errors() -> None:
    assert of(*SAID, cpu=33.0) == Figures(
        in_pauses=0, between=0, pause_minutes=1.0, errors=0, words=9, edges_deleted=0, edge_words=8,
        onset_error=pytest.approx(0.7), onsets=2, minutes=66 / 60, cpu=33.0,
    )  # fmt: skip


def test_words_in_a_pause_are_counted_by_time_and_by_alignment() -> None:
    found = of(*SAID, (20.0, 24.0, "Thank you for watching!"), (50.0, 60.0, "Bye."))
    assert (found.in_pauses, found.between, found.errors) == (5, 5, 5)


def test_marks_and_tags_are_no_words() -> None:
    found = of(*SAID, (20.0, 24.0, "..."), (30.0, 31.0, "[Music]"), (50.0, 60.0, "♪♪"))
    assert (found.in_pauses, found.between, found.errors) == (0, 0, 0)


@pytest.mark.parametrize(("start", "counted"), [(13.0, 0), (13.9, 0), (14.2, 2), (42.0, 2), (43.1, 0)])
def test_half_a_second_from_speech_is_no_pause(start: float, counted: int) -> None:
    """A segment of 0.8 s: its middle is what counts."""
    assert of(*SAID, (start, start + 0.8, "thank you")).in_pauses == counted


def test_speech_with_wrong_times_is_not_invented() -> None:
    """Whisper likes to begin a segment at the beginning of its window, long before anyone speaks."""
    early = of((0.0, 14.0, FIRST), SAID[1])
    assert (early.in_pauses, early.between, early.errors) == (0, 0, 0)
    assert early.onset_error == pytest.approx(10.5)
    assert of((0.0, 14.0, "nothing of that eta"), SAID[1]).in_pauses == 4


def test_an_insertion_within_an_utterance_is_not_between_two() -> None:
    inserted = FIRST.replace("delta", "delta you know")
    found = of((10.0, 14.0, inserted), SAID[1])
    assert (found.between, found.errors, found.in_pauses) == (0, 2, 0)


def test_words_lost_at_the_edges_are_told_from_those_within() -> None:
    """Of seven words the first and last three are edges; of two, both."""
    assert of((10.0, 14.0, "alpha beta gamma epsilon zeta eta"), SAID[1]).edges_deleted == 0
    assert of((10.0, 14.0, "gamma delta epsilon zeta eta"), SAID[1]).edges_deleted == 2
    assert of(SAID[0]).edges_deleted == 2
    nothing = of()
    assert (nothing.edges_deleted, nothing.errors, nothing.onsets) == (8, 9, 0)


def test_an_utterance_is_as_late_as_its_first_segment() -> None:
    found = of((9.0, 11.0, "alpha beta"), (11.0, 14.0, "gamma delta epsilon zeta eta"), (45.0, 50.0, SECOND))
    assert (found.onset_error, found.onsets) == (2.0, 2)


def test_numbers_of_two_utterances_stay_two_words() -> None:
    """Whisper's normaliser makes one number of "one two": in two utterances, and two segments, they are two words."""
    script = Script((Part(0, 1, "one"), Part(1, 9, filling="room"), Part(9, 10, "two")))
    found = figures(script, wrote((0, 1, "One."), (9, 10, "2")), "english")
    assert (found.words, found.errors) == (2, 0)


@pytest.mark.parametrize(
    ("reference", "written", "errors"), [("", "", 0), ("a b", "", 2), ("", "a b", 2), ("a b", "a c b", 1)]
)
def test_either_side_may_be_empty(reference: str, written: str, errors: int) -> None:
    assert align(reference.split(), written.split()).errors == errors


def test_a_set_is_the_ratio_of_its_sums() -> None:
    """Not the mean of ratios, in which a short recording counts as much as a long one."""
    pool = pooled(
        [
            Figures(4, 2, 1.0, 3, 10, 1, 8, 1.0, 2, 2.0, 60.0),
            Figures(0, 0, 3.0, 0, 20, 0, 8, 0.5, 1, 4.0, 30.0),
        ]
    )
    values = {
        name: pool[name]["value"]
        for name in ("pause_words", "pause_words_by_alignment", "wer", "edges", "onset", "rtf")
    }
    assert values == {
        "pause_words": 1.0, "pause_words_by_alignment": 0.5, "wer": 0.1, "edges": 1 / 16, "onset": 0.5, "rtf": 0.25,
    }  # fmt: skip
    assert pool["pause_words"]["low"] == 0.0 and pool["pause_words"]["high"] == 4.0
    assert (pool["recordings"], pool["sums"]["cpu"]) == (2, 90.0)
    assert estimate(pool["wer"], 100, "%") == "10.00% [0.00, 30.00]"
