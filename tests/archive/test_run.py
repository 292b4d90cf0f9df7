"""If these fail, a week of work is done twice, lost, or mixed up with other settings; or a bad file is hidden."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import soundfile
from archive_material import DEADLY, Here, light, read, sound, wav, write_tar
from places import disk_of

from whisper_steer.archive.local import Processes
from whisper_steer.archive.run import Report, Workers, run
from whisper_steer.errors import DataError, ModelError, UsageError
from whisper_steer.files.lock import alone_in

SETTINGS = {"model": "none", "temperature": 0.0}


def go(given: Path, out: Path, pool: Any = None, seconds: float = 2.5) -> tuple[Report, list[str]]:
    told: list[str] = []
    return run(str(given), out, SETTINGS, pool or Here(), seconds, told.append), told


def stamps(out: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in (out / "parts").iterdir()}


def names(path: Path) -> list[str]:
    return [Path(row["audio_filepath"]).name for row in read(path)]


def test_rows_of_jsonl_and_parquet_say_the_same(tmp_path: Path, folder: Path) -> None:
    report, told = go(folder, tmp_path / "out")
    rows = read(tmp_path / "out" / "manifest.jsonl")
    assert names(tmp_path / "out" / "manifest.jsonl") == [f"{i}.wav" for i in (0, 2, 4, 1, 3, 5)]
    assert [row["text"] for row in rows] == [f"{16000 + 1600 * i} samples" for i in (0, 2, 4, 1, 3, 5)]
    first = rows[0]
    assert first["spans"] == [{"start": 0.0, "end": 0.5, "evidence": 2.0}]
    assert first["segments"] == [
        {"start": 0.0, "end": 1.0, "evidence": 2.0, "text": "16000 samples", "risk": 0.1}
    ]
    assert (first["speech"], first["evidence"], first["risk"], first["duration"]) == (0.5, 2.0, 0.1, 1.0)
    table = pq.read_table(tmp_path / "out" / "manifest.parquet").to_pylist()
    assert [{k: v for k, v in row.items() if v is not None} for row in table] == rows
    assert (report.archive.recordings, report.archive.bad) == (6, 0)
    assert report.archive.seconds == pytest.approx(7.5) == report.seconds
    assert "hours per hour" in str(report) and told == [
        "6 sources, 0 done before; 6 to do in 4 parts, 0.00 h as far as stated"
    ]


def test_a_finished_archive_is_left_alone(tmp_path: Path, folder: Path) -> None:
    go(folder, tmp_path / "out")
    before = stamps(tmp_path / "out")
    pool = Here()
    report, _ = go(folder, tmp_path / "out", pool)
    assert pool.done == [] and stamps(tmp_path / "out") == before and "nothing was left" in str(report)


def test_what_is_new_changed_or_gone(tmp_path: Path, folder: Path) -> None:
    out = tmp_path / "out"
    go(folder, out)
    before = stamps(out)
    soundfile.write(folder / "d0" / "1.wav", sound(1, 20), 16000)
    soundfile.write(folder / "d0" / "2.wav", sound(2, 21), 16000)
    (folder / "d1" / "1.wav").unlink()
    pool = Here()
    _, told = go(folder, out, pool)
    assert pool.done == ["d0/1.wav", "d0/2.wav"]
    assert told[0].startswith(
        "INPUT has changed: 1 recordings are others than before and done again, 1 are gone"
    )
    assert before.items() <= stamps(out).items()
    texts = {Path(row["audio_filepath"]).name: row["text"] for row in read(out / "manifest.jsonl")}
    assert sorted(names(out / "manifest.jsonl")) == ["0.wav", "1.wav", "2.wav", "3.wav", "4.wav", "5.wav"]
    assert texts["2.wav"] == "32000 samples" and texts["1.wav"] == "16000 samples"


def test_a_disk_that_was_away_costs_nothing(tmp_path: Path, folder: Path) -> None:
    go(folder, tmp_path / "out")
    (folder / "d1").rename(tmp_path / "away")
    go(folder, tmp_path / "out")
    assert names(tmp_path / "out" / "manifest.jsonl") == ["0.wav", "2.wav", "4.wav"]
    (tmp_path / "away").rename(folder / "d1")
    pool = Here()
    go(folder, tmp_path / "out", pool)
    assert pool.done == [] and len(read(tmp_path / "out" / "manifest.jsonl")) == 6


def test_bad_recordings_are_told_counted_and_tried_again(tmp_path: Path, folder: Path) -> None:
    (folder / "d0" / "2.wav").write_text("hello")
    (folder / "d1" / "empty.mp3").touch()
    out = tmp_path / "out"
    report, told = go(folder, out)
    assert report.archive.bad == 2 and "2 bad, see errors.jsonl" in str(report)
    assert [line.split(": ")[0] for line in told[1:]] == [
        f"Skipping {folder}/d0/2.wav",
        f"Skipping {folder}/d1/empty.mp3",
    ]
    errors = read(out / "errors.jsonl")
    assert [Path(row["audio_filepath"]).name for row in errors] == ["2.wav", "empty.mp3"]
    assert all(row["error"] and "text" not in row for row in errors)
    soundfile.write(folder / "d0" / "2.wav", sound(1, 2), 16000)
    pool = Here()
    report, told = go(folder, out, pool)
    assert pool.done == ["d0/2.wav", "d1/empty.mp3"] and report.archive.bad == 1
    assert sorted(names(out / "manifest.jsonl")) == [f"{i}.wav" for i in range(6)]


def test_pieces_of_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav(3, 0))
    lines = [
        {"audio_filepath": "a.wav", "offset": 0.5, "duration": 1.0, "text": "given"},
        {"audio_filepath": "a.wav", "offset": 2.0},
        {"audio_filepath": "a.wav", "offset": 3.0},
        {"audio_filepath": "gone.wav"},
        {"audio": "a.wav"},
        {"audio_filepath": "a.wav", "offset": 2.5, "duration": 10},
    ]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    report, _ = go(tmp_path / "m.jsonl", tmp_path / "out")
    rows = read(tmp_path / "out" / "manifest.jsonl")
    assert [(row["offset"], row["duration"], row["text"]) for row in rows] == [
        (0.5, 1.0, "16000 samples"),
        (2.0, 1.0, "16000 samples"),
        (2.5, 0.5, "8000 samples"),
    ]
    assert rows[0]["reference"] == "given" and "reference" not in rows[1]
    errors = [row["error"] for row in read(tmp_path / "out" / "errors.jsonl")]
    assert errors[0] == "no samples at 3 s: the recording has 3 s"
    assert "does not exist" in errors[1] and errors[2] == "line 5 of the manifest: audio_filepath is missing"
    assert report.archive.bad == 3


def test_a_tar_that_is_cut_off_is_done_as_far_as_it_goes(tmp_path: Path) -> None:
    for i in range(2):
        write_tar(
            tmp_path / f"{i}.tar",
            {"a.wav": wav(1, 0), "a.txt": b"one", "b.wav": b"no sound", "c.wav": wav(2, 1)},
        )
    content = (tmp_path / "1.tar").read_bytes()
    (tmp_path / "1.tar").write_bytes(content[:40_000])
    report, told = go(tmp_path / "{0..1}.tar", tmp_path / "out")
    rows = read(tmp_path / "out" / "manifest.jsonl")
    assert [(row["audio_filepath"], Path(row["tar"]).name) for row in rows] == [
        ("a.wav", "0.tar"),
        ("c.wav", "0.tar"),
        ("a.wav", "1.tar"),
    ]
    assert [row.get("reference") for row in rows] == ["one", None, "one"]
    assert report.archive.bad == 3 and "cut off or damaged behind 2 recordings" in told[-1]
    pool = Here()
    go(tmp_path / "{0..1}.tar", tmp_path / "out", pool)
    assert pool.done == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": "other"}, "--model none, not other"),
        ({"temperature": 0.5}, "--temperature 0.0, not 0.5"),
        ({"beam_size": 5}, "--beam_size None, not 5"),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, folder: Path, change: dict[str, Any], told: str) -> None:
    go(folder, tmp_path / "out")
    with pytest.raises(UsageError, match=told):
        run(str(folder), tmp_path / "out", {**SETTINGS, **change}, Here(), 10, print)


def test_a_folder_that_is_something_else_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(UsageError, match=r"thesis\.txt"):
        go(folder, tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]
    with pytest.raises(UsageError, match="is a file"):
        go(folder, folder / "notes.txt")
    go(folder, tmp_path / "out")
    with pytest.raises(UsageError, match="is the archive of"):
        go(folder / "d0", tmp_path / "out")
    (tmp_path / "out" / "archive.json").write_text("{}")
    with pytest.raises(UsageError, match="damaged"):
        go(folder, tmp_path / "out")
    with pytest.raises(DataError):
        go(tmp_path / "gone", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_second_run_on_one_folder_is_refused(tmp_path: Path, folder: Path) -> None:
    with alone_in(tmp_path / "out", "archive run"), pytest.raises(UsageError, match="another archive run"):
        go(folder, tmp_path / "out")


def test_a_part_that_the_power_failure_halved_is_done_again(tmp_path: Path, folder: Path) -> None:
    go(folder, tmp_path / "out")
    part = sorted((tmp_path / "out" / "parts").iterdir())[0]
    part.write_bytes(part.read_bytes()[:500])
    (part.parent / ".00000009.parquet.77.tmp").write_bytes(b"left by a killed run")
    pool = Here()
    _, told = go(folder, tmp_path / "out", pool)
    assert pool.done == ["d0/0.wav", "d0/2.wav"] and "could not be read" in told[0]
    assert names(tmp_path / "out" / "manifest.jsonl") == [f"{i}.wav" for i in (0, 2, 4, 1, 3, 5)]
    assert all(path.suffix == ".parquet" for path in part.parent.iterdir())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 kilobytes."""
    with disk_of("200k", tmp_path / "small") as disk:
        yield disk


def test_a_full_disk_ends_the_run_and_what_is_finished_is_kept(small_disk: Path, folder: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(160_000))
    with pytest.raises(OSError, match="what is finished is kept"):
        go(folder, small_disk / "out", seconds=1.0)
    (small_disk / "filler").unlink()
    before = stamps(small_disk / "out")
    assert before and all(name.endswith(".parquet") for name in before)
    assert not (small_disk / "out" / "manifest.jsonl").exists()
    go(folder, small_disk / "out", seconds=1.0)
    assert before.items() <= stamps(small_disk / "out").items()
    assert len(read(small_disk / "out" / "manifest.jsonl")) == 6


def test_a_recording_that_kills_workers_costs_itself(tmp_path: Path, folder: Path) -> None:
    soundfile.write(folder / "d0" / "3.wav", sound(DEADLY / 16000, 0), 16000)
    report, told = go(folder, tmp_path / "out", Processes(light, 2), seconds=2.2)
    assert sorted(names(tmp_path / "out" / "manifest.jsonl")) == [f"{i}.wav" for i in range(6)]
    assert names(tmp_path / "out" / "errors.jsonl") == ["3.wav"] and report.archive.bad == 1
    assert sum("A worker was lost" in line for line in told) == 2  # over two sources, then over the one
    assert told[-1].endswith("3.wav: a worker was lost over it, twice")


def _dies() -> Any:
    os._exit(1)


def _fails() -> Any:
    raise ModelError("no such model")


def test_workers_that_cannot_start_are_told(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelError, match="fewer --workers"):
        go(folder, tmp_path / "a", Processes(_dies, 1))
    with pytest.raises(ModelError, match="no such model"):
        go(folder, tmp_path / "b", Processes(_fails, 1))


def test_workers_that_die_over_everything_end_the_run(tmp_path: Path, folder: Path) -> None:
    class Dying:
        def map(self, parts: Any) -> Any:
            return ((part, None) for part in parts)

        def __enter__(self) -> Workers:
            return self

        def __exit__(self, *_: object) -> None: ...

    with pytest.raises(ModelError, match="one after another"):
        go(folder, tmp_path / "out", Dying(), seconds=100)
