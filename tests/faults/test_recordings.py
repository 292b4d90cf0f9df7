"""If these fail, one bad recording ends in a traceback, hangs, opens what it names, or loses speech without a word."""

from __future__ import annotations

import os
import random
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from faults import recordings
from faults.recordings import encoded, muxed, tone, written
from helpers import QUICK, contents, run

from whisper_steer.audio.load import load_audio
from whisper_steer.errors import AudioError, AudioWarning

READABLE, CUT_OFF, UNREADABLE = recordings.readable(), recordings.cut_off(), recordings.unreadable()


@pytest.mark.parametrize("name", READABLE)
def test_what_is_odd_is_read_whole(tmp_path: Path, name: str) -> None:
    content, seconds = READABLE[name]
    samples = load_audio(written(tmp_path, name, content))
    assert np.isfinite(samples).all()
    assert len(samples) == pytest.approx(seconds * 16000, abs=0.11 * 16000)
    np.testing.assert_array_equal(load_audio(content), samples)


@pytest.mark.parametrize("name", CUT_OFF)
def test_what_is_cut_off_is_read_as_far_as_it_goes_and_told(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, CUT_OFF[name])
    with pytest.warns(AudioWarning) as told:
        samples = load_audio(path)
    (warning,) = told
    text = str(warning.message)
    ends = float(text.split("it ends at ")[1].split(" s")[0])
    assert text.startswith(f"{path} is cut off: its header states 20.")
    assert ends == pytest.approx(len(samples) / 16000, abs=0.2)
    assert 9 < ends < 11


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_recording_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it names another file that lies beside it, or a connection; at once."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "other.wav", encoded("wav", tone()))
    content, says = UNREADABLE[name]
    path = written(tmp_path, name, content)
    start = time.monotonic()
    for source in (path, content):
        with pytest.raises(AudioError) as told:
            load_audio(source)
        (line,) = str(told.value).splitlines()
        assert says in line
        assert (str(path) if source is path else "the audio bytes") in line
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    "kind",
    ["folder", "missing", "dangling", "loop", "NUL", "surrogate", "long", "not ours", "through a file"],
)
def test_what_cannot_be_opened_is_told(tmp_path: Path, kind: str) -> None:
    path: Path | str = tmp_path / "a.wav"
    if kind == "folder":
        Path(path).mkdir()
    elif kind == "dangling":
        Path(path).symlink_to(tmp_path / "nowhere")
    elif kind == "loop":
        Path(path).symlink_to(path)
    elif kind in ("NUL", "surrogate"):
        path = f"{tmp_path}/a{chr(0) if kind == 'NUL' else chr(0xD800)}.wav"
    elif kind == "long":
        path = tmp_path / ("x" * 300)
    elif kind == "through a file":
        path = written(tmp_path, "b", b"x") / "a.wav"
    elif kind == "not ours":
        written(tmp_path, "a.wav", encoded("wav", tone())).chmod(0)
        if not hasattr(os, "geteuid"):
            pytest.skip("no rights of files here")
    before = os.geteuid() if kind == "not ours" else None
    if before == 0:
        for parent in [tmp_path, *list(tmp_path.parents)[:2]]:
            parent.chmod(0o755)
        os.seteuid(65534)
    try:
        with pytest.raises(AudioError) as told:
            load_audio(path)
    finally:
        if before == 0:
            os.seteuid(before)
    (line,) = str(told.value).splitlines()
    line.encode()
    assert "check the path" in line or "folder" in line or "cannot be opened" in line


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    content = encoded("wav", tone())
    os.mkfifo(tmp_path / "pipe.wav")
    writer = threading.Thread(target=(tmp_path / "pipe.wav").write_bytes, args=(content,))
    writer.start()
    np.testing.assert_array_equal(load_audio(tmp_path / "pipe.wav"), load_audio(content))
    writer.join()


@pytest.mark.filterwarnings("ignore::whisper_steer.errors.AudioWarning")
@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "aiff", "mp4", "matroska"])
def test_mutated_headers_are_refused_or_read(kind: str) -> None:
    """Bytes of the first part of a sound file changed, or its end cut off. Seeded."""
    whole = muxed(kind, tone(0.5)) if kind in ("mp4", "matroska") else encoded(kind, tone(0.5))
    draw = random.Random(kind)
    start = time.monotonic()
    refused = 0
    for _ in range(60):
        changed = bytearray(whole[: draw.choice([len(whole), draw.randrange(1, len(whole))])])
        for _ in range(draw.randint(1, 5)):
            changed[draw.randrange(min(len(changed), 200))] = draw.choice(
                [0, 1, 127, 128, 255, draw.randrange(256)]
            )
        try:
            samples = load_audio(bytes(changed))
        except AudioError as error:
            assert len(str(error).splitlines()) == 1
            refused += 1
        else:
            assert samples.ndim == 1 and np.isfinite(samples).all()
    assert refused > 0
    assert time.monotonic() - start < 60


def test_each_bad_recording_is_one_line_and_the_good_ones_are_written(
    tmp_path: Path, tiny_path: Path, artifacts: dict[str, Path]
) -> None:
    """Through the command, all at once."""
    bad = [
        written(tmp_path, f"{i}-{name}", content) for i, (name, (content, _)) in enumerate(UNREADABLE.items())
    ]
    good = [
        written(tmp_path, "good.wav", READABLE["int24.wav"][0]),
        written(tmp_path, "half.wav", CUT_OFF["half.wav"]),
    ]
    args = [
        "--model",
        tiny_path,
        "-o",
        tmp_path / "out",
        "--steering",
        artifacts["shut"],
        *QUICK,
        "-f",
        "txt",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("default", AudioWarning)
        done = run("transcribe", *bad, *good, *args)
    told = [line for line in done.stderr.splitlines() if line.startswith(("Skipping", "Warning"))]
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit)
    assert [line.split(": ")[0] for line in told[:-1]] == [f"Skipping {path}" for path in bad]
    assert told[-1].startswith(f"Warning: {tmp_path / 'half.wav'} is cut off")
    assert not any("Error" in line for line in told)
    assert set(contents(tmp_path / "out")) == {"good.txt", "half.txt"}
