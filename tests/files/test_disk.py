"""If these fail, a disk that fills up kills a run with a bus error, without a word."""

from __future__ import annotations

import errno
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from whisper_steer.files import disk


@pytest.fixture(params=["reserved", "written"])
def allocate(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    if request.param == "written":  # as on macOS
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    return disk.allocate


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may pass 1 MB in this process: the nearest to a full disk without one."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def test_every_byte_is_there_and_what_was_written_stays(
    tmp_path: Path, allocate: Callable[..., None]
) -> None:
    with (tmp_path / "file").open("w+b") as file:
        file.write(b"abc")
        allocate(file, 3_000_001)
        assert file.tell() == 3
    found = (tmp_path / "file").stat()
    assert found.st_size == 3_000_001
    assert found.st_blocks * 512 >= 3_000_001
    assert (tmp_path / "file").read_bytes() == b"abc" + bytes(3_000_001 - 3)


def test_a_file_is_the_old_one_or_the_whole_new_one(tmp_path: Path, small_disk: None) -> None:
    path = tmp_path / "results.json"
    disk.write_whole(path, "old")
    with pytest.raises(OSError):
        disk.write_whole(path, "x" * 3_000_000)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    disk.write_whole(path, "new")
    assert path.read_text() == "new"


def test_a_longer_file_is_left_as_it_is(tmp_path: Path, allocate: Callable[..., None]) -> None:
    with (tmp_path / "file").open("w+b") as file:
        file.write(b"abcdef")
        allocate(file, 3)
    assert (tmp_path / "file").read_bytes() == b"abcdef"


def test_no_room_is_an_error_and_nothing_is_kept(
    tmp_path: Path, allocate: Callable[..., None], small_disk: None
) -> None:
    with (tmp_path / "file").open("w+b") as file:
        with pytest.raises(OSError) as raised:
            allocate(file, 3_000_000)
        assert raised.value.errno in (errno.ENOSPC, errno.EFBIG)
        assert raised.value.filename == str(tmp_path / "file")
        assert os.fstat(file.fileno()).st_size == 0
