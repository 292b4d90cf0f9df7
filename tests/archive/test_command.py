"""If these fail, a run that is killed starts from the beginning, or writes other texts than ``transcribe`` does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from archive_material import read
from helpers import QUICK, run

CODE = "from whisper_steer.cli import main; main()"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_run_goes_on_where_it_was_and_writes_what_transcribe_writes(
    tmp_path: Path, folder: Path, tiny_path: Path, artifacts: dict[str, Path]
) -> None:
    (folder / "d1" / "bad.wav").write_text("hello")
    shared = ["--model", tiny_path, "--steering", artifacts["shut"], "--device", "cpu", *QUICK]
    out = tmp_path / "out"
    command = [sys.executable, "-c", CODE, "archive", folder, "--out", out, "--part-seconds", "1", *shared]
    with subprocess.Popen([str(a) for a in command], stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and len(list((out / "parts").glob("0*.parquet"))) < 2:
            time.sleep(0.02)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and children
    finished = {
        path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (out / "parts").glob("0*.parquet")
    }
    assert 2 <= len(finished) < 7 and not (out / "manifest.jsonl").exists()
    deadline = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{child}") for child in children):  # noqa: PTH110
        assert time.monotonic() < deadline, "a worker outlives its run"
        time.sleep(0.05)

    done = run("archive", folder, "--out", out, "--part-seconds", "1", *shared)
    assert done.exit_code == 1, done.output
    assert f"{len(finished)} done before; {7 - len(finished)} to do" in done.stderr
    assert "6 recordings" in done.stdout and "1 bad, see errors.jsonl" in done.stdout
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in finished} == finished
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock",
        "archive.json",
        "errors.jsonl",
        "manifest.jsonl",
        "manifest.parquet",
        "parts",
    ]
    rows = read(out / "manifest.jsonl")
    paths = [row["audio_filepath"] for row in rows]
    assert paths == [str(folder / f"d{i % 2}" / f"{i}.wav") for i in (0, 2, 4, 1, 3, 5)]
    run("transcribe", *paths, "-o", tmp_path / "alone", "-f", "json", "--verbose", "False", *shared)
    for row in rows:
        alone = json.loads((tmp_path / "alone" / f"{Path(row['audio_filepath']).stem}.json").read_text())
        assert row["text"] == alone["text"].strip() and row["language"] == alone["language"]
        assert row["spans"] == alone["steering"]["spans"]
        texts = [(s["start"], s["end"], s["text"].strip()) for s in alone["segments"] if s["text"].strip()]
        assert [(s["start"], s["end"], s["text"]) for s in row["segments"]] == texts
        evidence = [s["steering"]["evidence"] for s in alone["segments"] if s["text"].strip()]
        assert [s["evidence"] for s in row["segments"]] == evidence


def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "broken.pt").write_text("no weights")
    done = run("archive", folder, "--out", tmp_path / "out", "--model", tmp_path / "broken.pt")
    assert done.exit_code == 1 and "broken.pt cannot be loaded" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--steering", "none", "--mode", "steer"], "need steering"),
        (["--method", "clamp"], "needs --mode steer"),
        (["--compute-type", "int8"], "does not go with --backend openai"),
        (["--workers", "0"], "workers"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_made(
    tmp_path: Path, folder: Path, options: list[str], told: str
) -> None:
    done = run("archive", folder, "--out", tmp_path / "out", "--model", "tiny.en", *options)
    assert done.exit_code == 2 and told in done.stderr and not (tmp_path / "out").exists()
