"""If these fail, delays and false starts of live listening are counted wrongly."""

from __future__ import annotations

import numpy as np
import pytest

from whisper_steer.data.recordings import Part
from whisper_steer.eval.live.report import report
from whisper_steer.eval.live.run import Row
from whisper_steer.eval.live.score import score
from whisper_steer.eval.live.systems import CHUNK, silero

PAUSES = [Part(0, 10, filling="noise"), Part(14, 30, filling="music"), Part(33, 60, filling="music")]
SPOKEN = [(10.0, 14.0), (30.0, 33.0)]


def test_delays_are_from_the_true_moment_to_the_telling() -> None:
    found = score([(10.4, 14.6), (29.9, 33.2)], SPOKEN, PAUSES)
    assert found.starts == pytest.approx([0.4, 0.0]) and found.ends == pytest.approx([0.6, 0.2])
    assert (found.missed, found.splits, found.early_ends, sum(found.false_starts.values())) == (0, 0, 0, 0)


def test_false_starts_belong_to_what_the_pause_holds() -> None:
    found = score([(5.0, 6.0), (20.0, 21.0), (25.0, 25.5), (30.2, 33.5)], SPOKEN, PAUSES)
    assert found.false_starts == {"noise": 1, "music": 2} and found.pauses_started == {"noise": 1, "music": 1}
    assert found.pauses == {"noise": 1, "music": 2}
    assert found.hours["noise"] == pytest.approx((10 - 0.3) / 3600)
    assert (found.missed, len(found.starts)) == (1, 1)


def test_a_start_that_was_never_ended_has_no_delay_and_a_split_is_no_false_start() -> None:
    found = score([(5.0, 20.0), (30.5, 31.0), (31.5, 32.5)], SPOKEN, PAUSES)
    assert (found.missed, found.starts, found.ends) == (0, [0.5], [6.0])
    assert (found.splits, found.early_ends, found.false_starts["noise"]) == (1, 1, 1)


def test_a_word_told_when_it_is_over_is_late_not_missed() -> None:
    found = score([(14.5, 15.0)], SPOKEN[:1], PAUSES)
    assert (found.missed, found.starts, found.ends) == (0, [4.5], [1.0])


def test_the_report_tells_every_system() -> None:
    rows = {
        name: [Row(score(told, SPOKEN, PAUSES), 3.0, 60.0), Row(score([], SPOKEN, PAUSES), 3.0, 60.0)]
        for name, told in {"a": [(10.4, 14.6), (30.4, 33.8)], "b": [(5.0, 6.0)]}.items()
    }
    text = report(rows)
    assert "2 streams, 2 minutes, 4 utterances" in text
    assert (
        "| a | 0.40 [" in text
        and "| a | 0.0 [0.0, " in text
        and "2 of 4, 50.0 %" in text.replace("%", " %").replace("  ", " ")
    )


def test_sileros_iterator_hears_a_voice_and_no_silence(spoken: np.ndarray) -> None:
    silence = np.zeros(CHUNK * 60, np.float32)
    ((start, end), *_) = silero({"min_silence_duration_ms": 500})(
        np.concatenate([silence, spoken[: 4 * 16000], silence])
    )
    assert len(silence) / 16000 < start < len(silence) / 16000 + 1.0 < end
    assert silero({})(silence) == []
