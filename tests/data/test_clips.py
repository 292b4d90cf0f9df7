"""If these fail, a speaker lies on both sides of a split and every figure of a fit is too good."""

import json
from pathlib import Path

import pytest

from whisper_steer.data.clips import Clip
from whisper_steer.data.own import folder as from_folder
from whisper_steer.data.own import manifest as from_manifest
from whisper_steer.data.splits import halves, select
from whisper_steer.errors import DataError


def test_a_manifest_row_becomes_a_clip(tmp_path: Path) -> None:
    rows = [
        {"path": "a.wav", "kind": "speech", "dataset": "d", "split": "choose", "group": "s1", "text": "one"},
        {"path": "b.wav", "kind": "nonspeech", "dataset": "e", "split": "fit", "group": "?", "voice": True},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    speech, noise = from_manifest(tmp_path / "m.jsonl")
    assert (speech.source, speech.split, speech.text, speech.group) == (
        tmp_path / "a.wav",
        "choose",
        "one",
        "d/s1",
    )
    assert noise.group == "e/b.wav"
    assert select([speech, noise], "nonspeech", "fit") == []  # voice is kept apart


def test_a_line_of_a_manifest_ends_where_json_lines_do(tmp_path: Path) -> None:
    row = {"path": "a.wav", "kind": "speech", "text": "one\u2028two\x85three"}
    text = json.dumps(row, ensure_ascii=False) + "\r\n\r\n"
    (tmp_path / "m.jsonl").write_text(text, encoding="utf-8", newline="")
    (clip,) = from_manifest(tmp_path / "m.jsonl")
    assert clip.text == row["text"]


def test_a_broken_manifest_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"path": "a.wav", "kind": "speech"}\n{"kind": 1}\n')
    with pytest.raises(DataError, match="line 2"):
        from_manifest(tmp_path / "m.jsonl")
    with pytest.raises(DataError, match="cannot read"):
        from_manifest(tmp_path / "none.jsonl")


def test_no_sub_folder_lies_in_two_splits(tmp_path: Path) -> None:
    for speaker in range(40):
        (tmp_path / f"s{speaker}").mkdir()
        for take in range(3):
            (tmp_path / f"s{speaker}" / f"{take}.WAV").touch()
    (tmp_path / "notes.txt").touch()
    clips = from_folder(tmp_path, "speech")
    assert len(clips) == 120
    splits = {group: {c.split for c in clips if c.group == group} for group in {c.group for c in clips}}
    assert all(len(s) == 1 for s in splits.values())
    assert {s for found in splits.values() for s in found} == {"fit", "choose", "test"}


def test_a_folder_without_audio_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no audio"):
        from_folder(tmp_path, "speech")
    with pytest.raises(DataError, match="not a folder"):
        from_folder(tmp_path / "none", "speech")


def test_halves_share_no_speaker_and_lone_speakers_calibrate() -> None:
    """A promise is worth what it says only where the gate was chosen on other speakers than those that calibrate."""
    clips = [Clip("speech", "choose", f"d/{i // 3}", Path(f"{i}.wav"), "d") for i in range(30)]
    lone = [Clip("speech", "choose", "one/maria", Path(f"m{i}.wav"), "one") for i in range(5)]
    first, second = halves([*clips, *lone])
    assert {c.group for c in first}.isdisjoint({c.group for c in second})
    assert len({c.group for c in first}) == 5 and len({c.group for c in second}) == 6
    assert all(c in second for c in lone)
    assert {c.group for c in halves([*lone, *clips[::-1]])[0]} == {c.group for c in first}


def test_no_source_recording_is_on_two_sides(tmp_path: Path) -> None:
    """UrbanSound8K and ESC-50 cut the same Freesound recordings: what is tested must not have been fitted."""
    rows = [
        {"path": "a.wav", "kind": "nonspeech", "dataset": "u", "split": "fit", "group": "114587"},
        {"path": "b.wav", "kind": "nonspeech", "dataset": "e", "split": "choose", "group": "114587"},
        {"path": "c.wav", "kind": "nonspeech", "dataset": "u", "split": "choose", "group": "116400"},
        {"path": "d.wav", "kind": "nonspeech", "dataset": "e", "split": "test", "group": "116400"},
        {"path": "e.wav", "kind": "speech", "dataset": "libri", "split": "fit", "group": "730"},
        {"path": "f.wav", "kind": "speech", "dataset": "other", "split": "test", "group": "730"},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    kept = [Path(str(c.source)).name for c in from_manifest(tmp_path / "m.jsonl")]
    assert kept == ["b.wav", "d.wav", "e.wav", "f.wav"]
