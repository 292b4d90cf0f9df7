"""If these fail, a kill, a closed pipe, a fork or a second run leaves half a file, or loses what was to be written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bench import artifact_folder, corpus
from helpers import FILES, ONCE, QUICK, contents, make_artifact, run
from whisper.model import Whisper

import whisper_steer
from whisper_steer.audio.load import load_audio
from whisper_steer.data.clips import Clip
from whisper_steer.eval import runner
from whisper_steer.fit.pipeline import Plan, fit
from whisper_steer.sae.plan import Plan as Training
from whisper_steer.steer.artifact import Artifact

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes can be forked here")


def in_child(work: Callable[[], object], seconds: float = 60) -> int:
    """Do it in a fork of this process; its exit code, or minus the signal that ended it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks beside threads
        child = os.fork()
    if not child:
        code = 1
        try:
            torch.set_num_threads(1)  # OpenMP's threads are not in a fork
            work()
            code = 0
        finally:
            os._exit(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("it hangs")


def killed_at(move: int, work: Callable[[], object]) -> Callable[[], None]:
    """The same, ended by SIGKILL right before a file is moved into place for the so manyth time."""
    real, left = os.replace, [move]

    def replace(*args: object) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        real(*args)  # type: ignore[arg-type]

    def killed() -> None:
        os.replace = replace  # type: ignore[assignment]
        work()

    return killed


@pytest.mark.parametrize("move", [1, 3])
def test_a_kill_leaves_whole_transcripts_and_old_ones(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path], move: int
) -> None:
    args = ["transcribe", wav_files["tone"], "--model", tiny_path, "-o", tmp_path, *QUICK]
    args += ["--steering", artifacts["shut"]]
    assert run(*args).exit_code == 0
    whole = contents(tmp_path)
    for name in FILES:
        (tmp_path / name).write_text("old")
    assert in_child(killed_at(move, lambda: run(*args))) == -signal.SIGKILL
    shown = {path.name: path.read_text() for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert set(shown) == FILES
    assert sum(text == "old" for text in shown.values()) == len(FILES) - (move - 1)
    assert run(*args).exit_code == 0
    assert {k: v for k, v in whole.items() if k in FILES} == {
        name: json.loads((tmp_path / name).read_text())
        if name.endswith("json")
        else (tmp_path / name).read_text()
        for name in FILES
    }


def test_a_kill_leaves_no_half_artifact(tiny_model: Whisper, tmp_path: Path) -> None:
    """What a fit does at its end."""
    artifact = make_artifact(tiny_model.encoder, threshold=0.0)
    target = tmp_path / "new"
    assert in_child(killed_at(1, lambda: artifact.save(target))) == -signal.SIGKILL
    assert not target.exists()
    artifact.save(target)
    assert Artifact.load(target).name == "by-hand"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", '["a"]', "{", "[" * 100_000, '{"model": 3}', '{"data": "speech:x"}', '{"limit": "x"}',
     '{"temperatures": [[0]]}', '{"systems": {"a": 1}}', '{"seed": null}', '{"limit": true}', '{"more": 1}'],
)  # fmt: skip
def test_a_run_file_that_is_none_is_wrong_usage(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    done = run("benchmark", "--config", tmp_path / "run.json", "--out", tmp_path / "out")
    assert done.exit_code == 2 and isinstance(done.exception, SystemExit), repr(done.exception)
    assert len(done.stderr.splitlines()) == 1


def test_a_reader_that_leaves_loses_no_file(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    """As ``whisper-steer transcribe *.wav 2>&1 | head -1`` does."""
    command = [sys.executable, "-u", "-c", "from whisper_steer.cli import main; main()", "transcribe"]
    command += [*map(str, wav_files.values()), "--model", str(tiny_path), "-o", str(tmp_path), *ONCE]
    command += ["--steering", str(artifacts["open"]), "--mode", "off", "-f", "txt", "--beam_size", "None"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=writer, timeout=300, check=False)
    os.close(writer)
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.txt" for name in wav_files}
    assert done.returncode == 0


def test_forks_and_threads_write_what_one_writes(
    tmp_path: Path, tiny_model: Whisper, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    """A server that loads the model once, then forks, or serves in threads."""
    options = {"steering": artifacts["shut"], "fp16": False, "temperature": 0.0}
    samples = load_audio(wav_files["chirp"])

    def text() -> str:
        return str(whisper_steer.transcribe(tiny_model, samples, **options)["text"])

    alone = text()
    for i in range(2):
        assert in_child(lambda i=i: (tmp_path / f"{i}").write_text(text())) == 0  # type: ignore[misc]
        assert (tmp_path / f"{i}").read_text() == alone
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(text())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert found == [alone] * 3


@pytest.mark.parametrize("kind", ["float16", "float64", "int16", "int64", "complex64", "bool"])
def test_samples_of_any_type_are_taken_or_refused(
    tiny_model: Whisper, artifacts: dict[str, Path], kind: str
) -> None:
    samples = (0.1 * np.random.default_rng(0).standard_normal(8000)).astype(kind)
    for given in (samples, torch.from_numpy(samples)):
        try:
            whisper_steer.transcribe(tiny_model, given, steering=artifacts["open"], fp16=False)
        except whisper_steer.errors.AudioError as error:
            assert kind in ("int64", "complex64", "bool") and "is of" in str(error)
        else:
            assert kind in ("float16", "float64", "int16")


def killed_after(records: int, work: Callable[[], object]) -> Callable[[], None]:
    """The same, ended by SIGKILL when the benchmark has so many records to write."""
    real, left = runner.as_line, [records]

    def as_line(record: dict[str, Any]) -> str:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(record)

    def killed() -> None:
        runner.as_line = as_line  # type: ignore[assignment]
        work()

    return killed


def test_a_killed_benchmark_goes_on_to_the_same_figures(
    tmp_path: Path, tiny_model: Whisper, tiny_path: Path
) -> None:
    """Killed while it writes its description, and while it transcribes; each time the same command goes on."""
    manifest, artifact = corpus(tmp_path), artifact_folder(tiny_model, tmp_path)
    args = ["benchmark", "--model", tiny_path, "--data", f"manifest:{manifest}", "--temperatures", "0"]
    args += ["--steering", artifact, "--systems", "stock,vad-cut,ours-skip", "--out"]
    assert run(*args, tmp_path / "whole").exit_code == 0
    out = tmp_path / "killed"
    for killed in (partial(killed_at, 1), partial(killed_after, 3), partial(killed_after, 5)):
        assert in_child(killed(lambda: run(*args, out))) == -signal.SIGKILL
        assert not (out / "results.json").exists()
    assert run(*args, out).exit_code == 0
    texts = [
        [
            (r["clip"], r["system"], r["text"])
            for r in json.loads((folder / "results.json").read_text())["records"]
        ]
        for folder in (tmp_path / "whole", out)
    ]
    assert texts[0] == texts[1] != []


def test_a_killed_fit_goes_on_to_the_same_artifact(
    tmp_path: Path, tiny_model: Whisper, loud_is_speech: None
) -> None:
    """Killed as it puts down the activations of the SAE, a checkpoint of its training, and those of the gate."""
    rng = np.random.default_rng(0)
    clips = [
        Clip(kind, split, f"{split}{i}", (rng.normal(size=16000) * level).astype(np.float32), kind)
        for split in ("fit", "choose")
        for i in range(4)
        for kind, level in (("speech", 0.3), ("nonspeech", 0.01))
    ]
    plan = Plan(
        scenes=2, more_windows=2, speech_windows=2, nonspeech_windows=2, held_out=2, recordings=1, hard=1,
        strength_windows=1, training=Training(k=4, expansion=2, steps=10, batch=64), conv_steps=4,
    )  # fmt: skip

    def fitted(work: Path, to: Path) -> Path:
        return fit(tiny_model, clips, work, name="tiny", plan=plan).save(to)

    whole = fitted(tmp_path / "work", tmp_path / "whole")
    work = tmp_path / "killed-work"
    for move in (1, 2, 4):
        assert in_child(killed_at(move, lambda: fitted(work, tmp_path / "never"))) == -signal.SIGKILL
    again = fitted(work, tmp_path / "again")
    for name in ("steering.safetensors", "sae.safetensors"):
        assert (again / name).read_bytes() == (whole / name).read_bytes()
    assert not (tmp_path / "never").exists()


def test_two_runs_on_one_output_leave_whole_transcripts(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    """Whichever is last: no file is a mixture, and nothing else is left."""
    args = ["transcribe", wav_files["tone"], "--model", tiny_path, *QUICK]
    args += ["--steering", artifacts["shut"], "-o"]
    assert run(*args, tmp_path / "alone").exit_code == 0
    command = [sys.executable, "-c", "from whisper_steer.cli import main; main()", *map(str, args)]
    both = [subprocess.Popen([*command, str(tmp_path / "both")], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(300) for process in both] == [0, 0]
    assert contents(tmp_path / "both") == contents(tmp_path / "alone")
