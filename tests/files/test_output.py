"""If these fail, a full disk or Ctrl-C costs a user finished transcripts, or subtitles crash where text is missing."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from whisper.utils import get_writer

from whisper_steer.files.output import write_outputs


def segment(start: float, text: str, **more: Any) -> dict[str, Any]:
    return {"id": int(start), "start": start, "end": start + 1.0, "text": text, **more}


def word(start: float, text: str) -> dict[str, Any]:
    return {"word": text, "start": start, "end": start + 1.0, "probability": 0.5}


RESULT = {"text": " one two", "language": "en", "segments": [segment(0.0, " one"), segment(1.0, " two")]}
SUFFIXES = ["json", "srt", "tsv", "txt", "vtt"]


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes: to a program, a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_files_are_those_of_stock(tmp_path: Path) -> None:
    paths = write_outputs(RESULT, "talk.v2.mp3", tmp_path / "new" / "ours", "all")
    assert [path.name for path in paths] == [f"talk.v2.{suffix}" for suffix in SUFFIXES]
    (tmp_path / "stock").mkdir()
    get_writer("all", str(tmp_path / "stock"))(RESULT, "talk.v2.mp3", {})
    for path in paths:
        assert path.read_bytes() == (tmp_path / "stock" / path.name).read_bytes()


def test_one_format(tmp_path: Path) -> None:
    assert [path.name for path in write_outputs(RESULT, "a.wav", tmp_path, "srt")] == ["a.srt"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.srt"]


def test_a_full_disk_leaves_the_old_files_whole(tmp_path: Path) -> None:
    write_outputs(RESULT, "a.wav", tmp_path, "all")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    longer = {**RESULT, "segments": [segment(float(i), " word" * 20) for i in range(100)]}
    with room_for(2000), pytest.raises(OSError, match="File too large"):
        write_outputs(longer, "a.wav", tmp_path, "all")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("first", [{"words": None}, {"words": []}])
@pytest.mark.parametrize("second", [{}, {"words": None}, {"words": [word(1.0, " two")]}])
def test_missing_words_do_not_crash_subtitles(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    result = {**RESULT, "segments": [segment(0.0, "", **first), segment(1.0, " two", **second)]}
    write_outputs(result, "a.wav", tmp_path, "all")
    assert "two" in (tmp_path / "a.srt").read_text()
    assert "two" in (tmp_path / "a.vtt").read_text()
    assert json.loads((tmp_path / "a.json").read_text()) == result


def test_words_make_subtitles_as_in_stock(tmp_path: Path) -> None:
    segments = [
        segment(0.0, " one", words=[word(0.0, " one")]),
        segment(1.0, " two", words=[word(1.0, " two")]),
    ]
    result = {**RESULT, "segments": segments}
    (ours,) = write_outputs(result, "a.wav", tmp_path / "ours", "srt", highlight_words=True, max_line_width=3)
    (tmp_path / "stock").mkdir()
    get_writer("srt", str(tmp_path / "stock"))(
        result, "a.wav", {"highlight_words": True, "max_line_width": 3}
    )
    assert "<u>one</u>" in ours.read_text()
    assert ours.read_bytes() == (tmp_path / "stock" / "a.srt").read_bytes()


def test_nothing_said(tmp_path: Path) -> None:
    write_outputs({"text": "", "segments": [], "language": "en"}, "a.wav", tmp_path, "all")
    assert (tmp_path / "a.txt").read_text() == ""
    assert (tmp_path / "a.vtt").read_text() == "WEBVTT\n\n"


def test_json_is_json_whatever_the_numbers(tmp_path: Path) -> None:
    """Python reads NaN; what else reads JSON fails on the whole file."""
    odd = {"avg_logprob": float("-inf"), "words": [{**word(0.0, " one"), "probability": float("nan")}]}
    result = {**RESULT, "segments": [segment(0.0, " one", **odd)], "temperature": (0.0, float("inf"))}
    (path,) = write_outputs(result, "a.wav", tmp_path, "json")
    found = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert found["segments"][0]["avg_logprob"] is None
    assert found["segments"][0]["words"] == [{**word(0.0, " one"), "probability": None}]
    assert found["temperature"] == [0.0, None]
    assert found["text"] == RESULT["text"]
