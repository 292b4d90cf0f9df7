"""If these fail, what a microphone hears is not told while it is heard, or an error is a traceback."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import run

from whisper_steer.cli.live import clock, played


def live(*args: str | Path, model: Path, steering: Path, stdin: bytes | None = None):  # type: ignore[no-untyped-def]
    return run("live", *args, "--model", model, "--device", "cpu", "--steering", steering, stdin=stdin)


def test_a_file_and_the_same_samples_from_stdin_tell_the_same(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    samples, _ = soundfile.read(wav_files["tone"], dtype="int16")
    soundfile.write(tmp_path / "tone.wav", samples, 16000)
    shut = {"model": tiny_path, "steering": artifacts["shut"]}
    done = live(tmp_path / "tone.wav", "--speed", "inf", **shut)
    assert done.exit_code == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert re.fullmatch(r"00:00\.0  speech starts  told at 00:00\.\d, evidence .*", first)
    assert re.fullmatch(r"00:02\.0  speech ends    told at 00:02\.0, evidence .*", second)
    piped = live("-", **shut, stdin=samples.astype("<i2").tobytes() + b"\0")
    assert (piped.exit_code, piped.stdout) == (0, done.stdout)
    silent = live("-", model=tiny_path, steering=artifacts["open"], stdin=samples.tobytes())
    assert (silent.exit_code, silent.stdout) == (0, "")


def test_a_file_plays_at_the_speed_asked_for() -> None:
    began = time.monotonic()
    chunks = list(played(np.arange(16000, dtype=np.float32), 4.0))
    assert 0.25 <= time.monotonic() - began < 2.0
    assert np.array_equal(np.concatenate(chunks), np.arange(16000))


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["missing.wav"], 1, "missing.wav does not exist: check the path"),
        (["-", "--speed", "2"], 2, "--speed is for files"),
        (["missing.wav", "--speed", "0"], 2, "--speed"),
        (["missing.wav", "--steering", "none"], 2, "listening needs steering"),
    ],
)
def test_errors_are_one_line(args: list[str], code: int, message: str) -> None:
    done = run("live", *args)
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr.splitlines()[-1]


def test_times_are_told_like_a_clock() -> None:
    assert [clock(t) for t in (0.04, 59.96, 3600.0, 3723.45)] == [
        "00:00.0",
        "01:00.0",
        "1:00:00.0",
        "1:02:03.4",
    ]
