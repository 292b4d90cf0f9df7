"""The folder of CTranslate2 behind whatever a user of faster-whisper calls a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faster_whisper.utils import download_model

from whisper_steer.errors import ModelError
from whisper_steer.files.card import read_json
from whisper_steer.files.scratch import scratch_folder
from whisper_steer.formats.ct2_save import save_ct2
from whisper_steer.models.checkpoints import available_models, remedy, resolve
from whisper_steer.models.load import load_model


@contextmanager
def ct2_folder(name_or_path: str | Path, options: dict[str, Any]) -> Iterator[str]:
    """A folder to load while the context lasts.

    In this order: the folder itself; what faster-whisper downloaded earlier; what `checkpoints` finds, a
    ``.pt`` being converted in passing; what faster-whisper downloads. ``options`` are those of
    `faster_whisper.WhisperModel` (``download_root``, ``local_files_only``, ``revision``, ``use_auth_token``).

    Raises `ModelError` where the model can't be had, `MissingPackageError` where a ``.pt`` needs transformers.
    """
    name = str(name_or_path)
    folder = name if Path(name).is_dir() else _downloaded(name, {**options, "local_files_only": True})
    found = None
    if folder is None and (name in available_models() or Path(name).suffix == ".pt"):
        found = resolve(name)
    if found is not None and found.format == "openai":
        with scratch_folder("whisper-steer-") as scratch:
            save_ct2(load_model(name, "cpu"), scratch / "model")
            yield str(scratch / "model")
        return
    folder = folder or (str(found.path) if found else _downloaded(name, options))
    if folder is None:
        raise ModelError(f"model {name!r} is not on this machine and could not be downloaded: {remedy(name)}")
    _check(Path(folder))
    yield folder


def _check(folder: Path) -> None:
    """Raise `ModelError` where CTranslate2 would fail on the first window: it asks its configuration for tokens."""
    try:
        sound = isinstance(read_json(folder / "config.json"), dict)
    except (OSError, ValueError):
        sound = False
    if not sound:
        raise ModelError(f"{folder} has no sound config.json: copy or convert the model again")


def _downloaded(name: str, options: dict[str, Any]) -> str | None:
    try:
        return str(
            download_model(
                name,
                local_files_only=options.get("local_files_only", False),
                cache_dir=options.get("download_root"),
                revision=options.get("revision"),
                use_auth_token=options.get("use_auth_token"),
            )
        )
    except (OSError, ValueError):
        return None
