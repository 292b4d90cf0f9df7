"""If these fail, every killed fit leaves gigabytes in the temporary directory, or two fits write into one folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from whisper_steer.errors import UsageError
from whisper_steer.files.lock import LOCK
from whisper_steer.fit.workplace import PREFIX, workplace


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def left_by_a_killed_fit(folder: Path, age: float = 3600) -> Path:
    folder.mkdir()
    (folder / LOCK).touch()
    (folder / "fit.hidden").write_bytes(b"gigabytes")
    os.utime(folder / LOCK, (time.time() - age,) * 2)
    return folder


def test_a_temporary_one_goes_with_its_fit(temporary: Path) -> None:
    with workplace() as work:
        (work / "fit.hidden").touch()
        assert work.parent == temporary
    assert list(temporary.iterdir()) == []
    with pytest.raises(KeyboardInterrupt), workplace() as work:
        (work / "fit.hidden").touch()
        raise KeyboardInterrupt
    assert list(temporary.iterdir()) == []


def test_what_a_killed_fit_left_goes_and_nothing_else(temporary: Path) -> None:
    killed = left_by_a_killed_fit(temporary / f"{PREFIX}killed")
    young = left_by_a_killed_fit(temporary / f"{PREFIX}young", age=1)
    other = left_by_a_killed_fit(temporary / "someone-elses")
    (temporary / f"{PREFIX}without-lock").mkdir()
    linked = left_by_a_killed_fit(temporary.parent / "linked")
    (temporary / f"{PREFIX}link").symlink_to(linked)
    with workplace() as running:
        os.utime(running / LOCK, (1, 1))
        with workplace():
            assert running.is_dir()
        assert not killed.exists()
    assert young.exists() and other.exists() and (linked / "fit.hidden").exists()
    assert (temporary / f"{PREFIX}without-lock").exists()


def test_two_fits_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    refused = pytest.raises(UsageError, match=r"another fit is running in .*work")
    with workplace(folder), refused, workplace(folder):
        pass
    with workplace(folder):
        pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_a_fit_that_is_ended_tidies_up(
    number: signal.Signals, temporary: Path, tmp_path: Path, tiny_path: Path
) -> None:
    """A real process and a real signal."""
    soundfile.write(tmp_path / "a.wav", np.random.default_rng(0).normal(size=16000) * 0.1, 16000)
    rows = [
        {"path": "a.wav", "kind": kind, "split": split, "group": f"{kind}-{split}"}
        for kind in ("speech", "nonspeech")
        for split in ("fit", "choose")
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = [
        sys.executable,
        "-c",
        f"import signal; signal.signal({int(number)}, signal.SIG_DFL); "  # a background job may ignore it
        "from whisper_steer.cli import main; main()",
        *("fit", str(tiny_path), "--manifest", "manifest.jsonl", "-o", "out"),
    ]
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "TMPDIR": str(temporary)}, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 300
    while not list(temporary.glob("*/*.hidden")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == -number, errors
    assert b"Traceback" not in errors
    assert not list(temporary.glob("whisper-steer-*"))
