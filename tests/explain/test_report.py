"""If these fail, text is shown where it was not written, or a latent on the wrong side."""

from __future__ import annotations

from whisper_steer.explain.report import against, supporting, texts_in
from whisper_steer.explain.stretches import Stretch
from whisper_steer.explain.trace import Reason


def stretch(start: float, end: float, *weights: tuple[str, float]) -> Stretch:
    because = [Reason(i, name, 0.8, 0.5, weight) for i, (name, weight) in enumerate(weights)]
    return Stretch(start, end, False, 0.0, [], because)


def test_text_stands_where_most_of_its_segment_lies() -> None:
    stretches = [stretch(0, 2), stretch(2, 6), stretch(6, 9)]
    segments = [
        {"start": 1.5, "end": 5.0, "text": " Hello there."},
        {"start": 5.0, "end": 6.2, "text": " Good day."},
        {"start": 6.0, "end": 9.0, "text": " "},
        {"start": 9.0, "end": 9.0, "text": "Bye."},
    ]
    assert texts_in(stretches, segments) == ["", "Hello there. Good day.", "Bye."]
    assert texts_in([], segments) == []


def test_latents_of_a_name_count_together() -> None:
    found = stretch(0, 2, ("dog bark", -2.0), ("speech", 1.5), ("dog bark", -0.25), ("rain", -0.5))
    assert supporting(found) == "speech +1.50"
    assert against(found) == "dog bark -2.25, rain -0.50"
    assert (supporting(stretch(0, 2)), against(stretch(0, 2))) == ("-", "-")
