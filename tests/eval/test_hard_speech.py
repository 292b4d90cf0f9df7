"""If these fail, a detector is told to lose speech that it hears, or to hear what it loses."""

from __future__ import annotations

import numpy as np
import pytest

from whisper_steer.eval.hard_speech import CONDITIONS, LATE, Condition

TONE = (0.1 * np.sin(np.arange(32000) * 2 * np.pi * 1000 / 16000)).astype(np.float32)


def test_an_utterance_is_lost_where_half_of_it_or_less_is_heard() -> None:
    """100 frames of 20 ms, of which those from 1 s on are spoken: 1 s to 2 s."""
    spoken = np.arange(100) >= 50
    plain = Condition(lambda samples: samples)
    assert plain.heard([(0.0, 1.25), (1.9, 5.0)], spoken) == pytest.approx(0.35, abs=0.021)
    assert plain.lost([(1.0, 1.5)], spoken)
    assert not plain.lost([(1.0, 1.53)], spoken)
    assert plain.lost([], spoken)


def test_places_move_with_the_speech() -> None:
    spoken = np.arange(100) >= 50
    assert not CONDITIONS["half speed"].lost([(2.0, 4.0)], spoken)
    assert CONDITIONS["half speed"].lost([(1.0, 2.0)], spoken)
    assert not CONDITIONS["double speed"].lost([(0.5, 1.0)], spoken)
    assert not CONDITIONS["after 20 s of silence"].lost([(LATE + 1, LATE + 2)], spoken)
    assert CONDITIONS["after 20 s of silence"].lost([(1, 2)], spoken)


@pytest.mark.parametrize(
    ("name", "seconds", "rms"),
    [
        ("-50 dB level", 2.0, 0.1 / 2**0.5 * 10**-2.5),
        ("after 20 s of silence", 22.0, 0.1 / 2**0.5 * (2 / 22) ** 0.5),
        ("telephone", 2.0, 0.1 / 2**0.5),
        ("offset of 0.1", 2.0, (0.1**2 / 2 + 0.1**2) ** 0.5),
        ("half speed", 4.0, 0.1 / 2**0.5),
        ("double speed", 1.0, 0.1 / 2**0.5),
    ],
)
def test_the_changes_are_as_long_and_as_loud_as_they_say(name: str, seconds: float, rms: float) -> None:
    changed = CONDITIONS[name].change(TONE)
    assert changed.dtype == np.float32
    assert len(changed) == pytest.approx(seconds * 16000, abs=2)
    assert np.sqrt(np.mean(np.square(changed, dtype=float))) == pytest.approx(rms, rel=0.03)
