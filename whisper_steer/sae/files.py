"""An SAE as a file or folder of its own: read and written alone, whatever it steers and whoever trained it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.files.disk import write_whole
from whisper_steer.sae.formats import audiosae, dictionary_learning, own, saelens
from whisper_steer.sae.formats.tensors import read_config, read_tensors
from whisper_steer.sae.model import SAE

Format = Literal["own", "saelens"]
FORMATS: tuple[Format, ...] = ("own", "saelens")
"""that can be written"""


def load(path: str | Path) -> SAE:
    """The SAE in a file or folder of any format in `whisper_steer.sae.formats`, ready for use.

    Nothing in a file is ever run. Raises `ArtifactError` where there is none, or a damaged one.
    """
    path = Path(path)
    if path.is_dir():
        if (path / saelens.CONFIG).is_file() and (path / saelens.WEIGHTS).is_file():
            return saelens.read(path)
        if not (path / dictionary_learning.AE).is_file():
            raise _unknown(path)
        path = path / dictionary_learning.AE
    if path.name == saelens.WEIGHTS and (path.parent / saelens.CONFIG).is_file():
        return saelens.read(path.parent)
    tensors, texts = read_tensors(path)
    names = set(tensors)
    if names >= own.NAMES:
        return own.of(path, tensors, texts)
    if not dictionary_learning.knows(names):
        raise _unknown(path)
    config = read_config(path.parent / dictionary_learning.CONFIG)
    reader = audiosae if audiosae.knows(path, names) else dictionary_learning
    return reader.of(path, tensors, config)


def save(sae: SAE, path: str | Path, format: Format = "own", half: bool = False) -> None:
    """Write an SAE whole or not at all: one safetensors file, which replaces another, or a new folder of SAELens.

    ``half``: matrices in float16, in our own format alone. Raises `UsageError` where something else is at ``path``,
    `OSError`.
    """
    path = Path(path)
    if format == "saelens":
        saelens.write(sae, path)
        return
    if path.is_dir():
        raise UsageError(f"{path} is a folder, and an SAE becomes one file: name one, NAME.safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, own.content(sae, half))


def _unknown(path: Path) -> ArtifactError:
    return ArtifactError(
        f"{path} holds no SAE of a known format: those are our .safetensors, SAELens folders "
        f"({saelens.CONFIG}, {saelens.WEIGHTS}), and {dictionary_learning.AE} of dictionary_learning or AudioSAE"
    )


__all__ = ["FORMATS", "Format", "load", "save"]
