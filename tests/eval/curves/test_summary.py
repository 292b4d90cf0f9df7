"""If these fail, the tables and pictures say other figures than the rows hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jiwer
import pytest

from whisper_steer.errors import DataError
from whisper_steer.eval.curves.plots import curves
from whisper_steer.eval.curves.report import markdown
from whisper_steer.eval.curves.summary import FALSE_SPEECH, Point, best_at, summarise
from whisper_steer.eval.intervals import Estimate

REFERENCES = {"s1": "the first of four", "s2": "one more is here"}
WRITTEN: dict[str, dict[str, tuple[str, float, float]]] = {
    # text, no_speech_prob, avg_logprob
    "stock": {
        "n1": ("Thank you.", 0.3, -0.5),
        "n2": ("Thank you.", 0.55, -1.5),
        "n3": ("[Music]", 0.7, -0.2),
        "n4": ("you", 0.7, -1.2),
        "s1": ("The first of four.", 0.1, -0.2),
        "s2": ("One more is there.", 0.1, -0.2),
    },
    "m@1": {
        "n1": ("", 0.3, -0.5),
        "n2": ("Thank you.", 0.55, -1.5),
        "n3": ("", 0.9, -1.5),
        "n4": ("", 0.9, -1.5),
        "s1": ("The first or four.", 0.1, -0.2),
        "s2": ("One more is here.", 0.7, -1.2),
    },
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    clips = [
        {
            "id": name,
            "kind": "speech" if name[0] == "s" else "nonspeech",
            "group": name,
            "text": REFERENCES.get(name),
            "normalizer": "english",
        }
        for name in WRITTEN["stock"]
    ]
    rows: list[dict[str, Any]] = [
        {
            "intervention": name,
            "group": name.partition("@")[0],
            "strength": float(name.partition("@")[2] or 0),
            "mode": "stock",
            "clip": clip,
            "text": text,
            "no_speech_prob": no_speech,
            "avg_logprob": logprob,
        }
        for name, found in WRITTEN.items()
        for clip, (text, no_speech, logprob) in found.items()
    ]
    rows.append({**rows[0], "intervention": "unfinished"})
    (tmp_path / "clips.jsonl").write_text("".join(json.dumps(each) + "\n" for each in clips))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    return tmp_path


def test_figures_are_those_counted_by_hand(run: Path) -> None:
    stock, edited = summarise(run)
    values = [{name: figure.value for name, figure in point.figures.items()} for point in (stock, edited)]
    # n4 is dropped by Whisper's rule, n3 is a tag; s2 is dropped under the edit
    assert values[0] == {
        "fsr_text": 0.5, "fsr_raw": 0.75, "fsr_score": 0.75, "fsr_no_speech": 0.25, "wer": 1 / 8, "empty": 0.0,
    }  # fmt: skip
    assert values[1] == {
        "fsr_text": 0.25, "fsr_raw": 0.25, "fsr_score": 0.5, "fsr_no_speech": 0.25, "wer": 5 / 8, "empty": 0.5,
    }  # fmt: skip
    assert edited.removed["fsr_text"].value == 0.5
    assert edited.removed["fsr_score"].value == pytest.approx(1 / 3)
    assert edited.changes["wer"].value == pytest.approx(0.5)
    assert stock.changes["wer"].low == stock.changes["wer"].high == 0.0
    truth, hypothesis = list(REFERENCES.values()), ["the first or four", ""]
    assert edited.figures["wer"].value == pytest.approx(jiwer.wer(truth, hypothesis))


def test_tables_and_pictures_hold_every_method(run: Path) -> None:
    points = summarise(run)
    table = markdown(points)
    assert "| m | 1 | 25.0 (" in table and "| m | none |" in table
    for figure in FALSE_SPEECH:
        picture = curves(points, figure)
        assert picture.startswith("<svg") and ">m<" in picture and ">stock<" in picture
    assert (
        json.loads(json.dumps([point.to_dict() for point in points]))[1]["figures"]["wer"]["value"] == 0.625
    )


def test_the_best_is_the_most_removed_that_one_can_afford() -> None:
    def point(strength: float, added: float, removed: float) -> Point:
        estimates = [Estimate(x, x, x, 1) for x in (added, removed)]
        return Point(
            "stock", "m", f"m@{strength}", strength, {}, {"wer": estimates[0]}, {"fsr_text": estimates[1]}
        )

    points = [point(1, 0.001, 0.3), point(2, 0.004, 0.8), point(3, 0.2, 1.0)]
    assert best_at(points, "fsr_text", 0.004) is points[1]
    assert best_at(points, "fsr_text", 0.002) is points[0]
    assert best_at(points[2:], "fsr_text", 0.004) is None


def test_a_folder_without_a_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="measure there first"):
        summarise(tmp_path)
