"""If these fail, one bad file, option or key press costs a run, or ends in a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import FILES, QUICK, contents, run
from places import disk_of


def test_a_bad_file_is_skipped_and_the_rest_goes_on(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    (tmp_path / "text.wav").write_text("hello\n")
    args = ["--model", tiny_path, "-o", tmp_path / "out", "--steering", artifacts["open"], "-f", "txt"]
    done = run(
        "transcribe",
        tmp_path / "gone.wav",
        wav_files["tone"],
        tmp_path / "text.wav",
        wav_files["noise"],
        *args,
    )
    assert done.exit_code == 1
    first, _, second, _ = done.stderr.splitlines()
    assert first.startswith(f"Skipping {tmp_path / 'gone.wav'}: ")
    assert second.startswith(f"Skipping {tmp_path / 'text.wav'}: ")
    assert set(contents(tmp_path / "out")) == {"tone.txt", "noise.txt"}


def test_samples_that_would_overflow_are_told_and_not_taken_for_silence(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    samples = np.full(16000, 0.1, np.float32)
    samples[8000] = 3e38
    soundfile.write(tmp_path / "loud.wav", samples, 16000, subtype="FLOAT")
    args = ["--model", tiny_path, "-o", tmp_path / "out", "--steering", artifacts["open"], "-f", "json"]
    done = run("transcribe", tmp_path / "loud.wav", wav_files["tone"], *args)
    assert done.exit_code == 1
    assert "full scale" in done.stderr.splitlines()[0]
    assert set(contents(tmp_path / "out")) == {"tone.json"}


@pytest.fixture
def megabyte(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    with disk_of("1m", tmp_path / "small") as disk:
        yield disk


@pytest.mark.parametrize("seconds", [8, 20])
def test_a_full_temporary_disk_costs_one_recording(
    tmp_path: Path,
    tiny_path: Path,
    wav_files: dict[str, Path],
    artifacts: dict[str, Path],
    megabyte: Path,
    seconds: int,
) -> None:
    """Of 8 s the samples find room and the spectrogram does not, of 20 s neither. Reads above 1 s go to the disk."""
    soundfile.write(
        tmp_path / "long.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 16000 * seconds), 16000
    )
    code = (
        "from whisper_steer.audio import load as audio, spectrogram; audio.LONG = spectrogram.LONG = 16000; "
        "from whisper_steer.cli import main; main()"
    )
    args = ["transcribe", tmp_path / "long.wav", tmp_path / "short.wav", "--model", tiny_path]
    args += ["-o", tmp_path / "out", "--steering", artifacts["shut"], *QUICK, "-f", "txt", "--device", "cpu"]
    args += ["--repetition-guard", "off"]  # a loop of random weights would need another spectrogram
    soundfile.write(tmp_path / "short.wav", np.full(8000, 0.1), 16000)
    command = [sys.executable, "-c", code, *map(str, args)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "TMPDIR": str(megabyte)}, check=False
    )
    assert done.returncode == 1, done.stderr
    told = done.stderr.splitlines()[0]
    assert told.startswith(f"Skipping {tmp_path / 'long.wav'}: no room for a long recording in {megabyte}")
    assert "TMPDIR" in told
    assert set(contents(tmp_path / "out")) == {"short.txt"}, done.stderr


@pytest.mark.parametrize("seconds", [0.01, 0.0])
def test_very_short_recordings(
    tmp_path: Path, tiny_path: Path, artifacts: dict[str, Path], seconds: float
) -> None:
    soundfile.write(tmp_path / "a.wav", np.full(int(16000 * seconds), 0.1), 16000)
    args = ["transcribe", tmp_path / "a.wav", "--model", tiny_path, "-o", tmp_path / "out", *QUICK]
    for steering in ("none", artifacts["shut"]):
        done = run(*args, "--steering", steering)
        assert done.exit_code == (0 if seconds else 1)
        assert len(done.stderr.splitlines()) == (0 if seconds else 1)


def test_stdin(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    args = [
        "transcribe",
        "--model",
        tiny_path,
        "-o",
        tmp_path,
        "--steering",
        artifacts["shut"],
        *QUICK,
        "-f",
        "json",
    ]
    assert run(*args, wav_files["tone"]).exit_code == 0
    assert run(*args, "-", stdin=wav_files["tone"].read_bytes()).exit_code == 0
    assert (tmp_path / "stdin.json").read_bytes() == (tmp_path / "tone.json").read_bytes()
    assert run(*args, "-", stdin=b"").exit_code == 1


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["a.wav", "--no_such_option", "1"],
        ["a.wav", "--beam_size", "many"],
        ["a.wav", "--beam_size", "None", "--patience", "2"],
        ["a.wav", "--output_format", "docx"],
        ["a.wav", "--language", "klingon"],
        ["a.wav", "--suppress_tokens", "1,a"],
        ["a.wav", "--clip_timestamps", "0;1"],
        ["a.wav", "--highlight_words", "True"],
        ["a.wav", "--mode", "sometimes"],
        ["a.wav", "--method", "clamp"],
        ["a.wav", "--steering", "none", "--mode", "steer"],
        ["a.wav", "--max_suppressed_speech", "1.5"],
        ["a.wav", "b/a.mp3"],
        ["a.wav", "--model", "tyni"],
        ["a.wav", "--model", "tiny.en", "--device", "abacus"],
    ],
)
def test_wrong_usage_exits_2(tmp_path: Path, args: list[str]) -> None:
    done = run("transcribe", *args, "-o", tmp_path)
    assert done.exit_code == 2, done.output
    assert "Error: " in done.stderr
    assert done.stdout == ""


def test_a_gate_and_a_place_for_it_do_not_go_together(tmp_path: Path) -> None:
    """The file says where its gate listens; another place would be taken for it in silence."""
    done = run(
        "fit", "tiny.en", "--gate", tmp_path / "gate", "--gate-point", "blocks.1", "-o", tmp_path / "out"
    )
    assert done.exit_code == 2
    assert "leave out --gate-point" in done.stderr and "Traceback" not in done.stderr


def test_a_broken_model_or_artifact_is_one_line(
    tmp_path: Path,
    tiny_path: Path,
    multilingual_path: Path,
    wav_files: dict[str, Path],
    artifacts: dict[str, Path],
) -> None:
    (tmp_path / "bad.pt").write_bytes(tiny_path.read_bytes()[:1000])
    args = ["transcribe", wav_files["tone"], "-o", tmp_path]
    for options in (
        ["--model", tmp_path / "bad.pt"],
        ["--model", multilingual_path, "--steering", artifacts["open"]],  # fitted on another encoder
    ):
        done = run(*args, *options)
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: ")
        assert len(done.stderr.splitlines()) == 1


def test_an_output_folder_that_cannot_be(tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path]) -> None:
    (tmp_path / "file").touch()
    done = run("transcribe", wav_files["tone"], "--model", tiny_path, "-o", tmp_path / "file" / "out")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)


def test_ctrl_c_leaves_finished_outputs_whole(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    """A real process and a real signal, while it waits for its second input."""
    out = tmp_path / "out"
    args = [wav_files["tone"], "-", "--model", tiny_path, "-o", out, "--steering", artifacts["shut"], *QUICK]
    command = [
        sys.executable,
        "-c",
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # ignored in background jobs
        "from whisper_steer.cli import main; main()",
        "transcribe",
        *map(str, args),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (out / "tone.vtt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert process.stdin and process.stdout and process.stderr
    errors = process.stderr.read().decode()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "Error: interrupted"
    assert "Traceback" not in errors
    assert set(contents(out)) == FILES
    assert json.loads((out / "tone.json").read_text())["segments"]
