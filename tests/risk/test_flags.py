"""If these fail, a segment of high risk is lost, or nobody sees that it is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from whisper_steer.errors import ArtifactError
from whisper_steer.files.output import write_outputs
from whisper_steer.risk.flags import flagged, line


def result() -> dict[str, Any]:
    texts = [" Good morning.", " Thank you.", ""]
    rows = [
        {"id": i, "start": 2.0 * i, "end": 2.0 * i + 1.5, "text": text, "tokens": [], "risk": risk}
        for i, (text, risk) in enumerate(zip(texts, (0.02, 0.5, 0.0), strict=True))
    ]
    return {"text": "".join(texts), "segments": rows, "language": "en"}


def test_flagging_drops_nothing_and_takes_in_the_threshold_itself() -> None:
    found = flagged(result(), 0.5)
    assert [s["flagged"] for s in found["segments"]] == [False, True, False]
    assert [{k: v for k, v in s.items() if k != "flagged"} for s in found["segments"]] == result()["segments"]


def test_an_artifact_that_cannot_tell_says_so() -> None:
    bare = {
        **result(),
        "segments": [{k: v for k, v in s.items() if k != "risk"} for s in result()["segments"]],
    }
    with pytest.raises(ArtifactError, match="flag_risk"):
        flagged(bare, 0.5)


def test_a_line_shows_the_risk_only_of_what_is_flagged() -> None:
    first, second, _ = flagged(result(), 0.5)["segments"]
    assert line(first) == "[00:00.000 --> 00:01.500]  Good morning."
    assert line(second) == "[00:02.000 --> 00:03.500]  Thank you.  (risk 0.50)"


def test_the_writers_hold_it(tmp_path: Path) -> None:
    write_outputs(flagged(result(), 0.5), "a", tmp_path, "all", highlight_words=False)
    vtt = (tmp_path / "a.vtt").read_text()
    assert vtt == (
        "WEBVTT\n\nNOTE risk 0.020\n\n00:00.000 --> 00:01.500\nGood morning.\n\n"
        "NOTE risk 0.500, flagged\n\n00:02.000 --> 00:03.500\nThank you.\n\n"
        "00:04.000 --> 00:05.500\n\n\n"
    )
    assert [s["risk"] for s in json.loads((tmp_path / "a.json").read_text())["segments"]] == [0.02, 0.5, 0.0]
    for each in ("txt", "srt", "tsv"):
        assert "risk" not in (tmp_path / f"a.{each}").read_text()


def test_without_a_risk_vtt_is_stocks(tmp_path: Path) -> None:
    bare = {
        **result(),
        "segments": [{k: v for k, v in s.items() if k != "risk"} for s in result()["segments"]],
    }
    write_outputs(bare, "a", tmp_path, "vtt")
    assert "NOTE" not in (tmp_path / "a.vtt").read_text()
