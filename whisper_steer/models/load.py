"""Loading checkpoints: by official name or by path.

`checkpoints` finds the files, `openai_file` or `whisper_steer.formats.ct2` reads them; official names that are not on
this machine are openai-whisper's own loader's. What can go wrong with a file is told in one line.
"""

from __future__ import annotations

import urllib.error
from pathlib import Path

import torch
import whisper
from whisper.model import Whisper

from whisper_steer.errors import ModelError, UsageError
from whisper_steer.formats import ct2
from whisper_steer.models import checkpoints, openai_file
from whisper_steer.models.steered import SteeredWhisper, steered


def load_model(
    name: str | Path,
    device: str | torch.device | None = None,
    download_root: str | None = None,
    in_memory: bool = False,
) -> SteeredWhisper:
    """`whisper.load_model` that also reads folders of CTranslate2. The weights are float32 on ``device``.

    The model's own ``transcribe`` is `whisper_steer.transcribe`; else it is openai-whisper's.

    name: an official name, taken from ``download_root`` (by default ``~/.cache/whisper``), from an installed
    package of weights (`weights`), or else downloaded once into ``download_root``; a local ``.pt`` in
    OpenAI's layout, ``{"dims": ..., "model_state_dict": ...}``; or a local folder of CTranslate2. device: None takes
    CUDA where there is one. in_memory: read the whole ``.pt`` first.

    Raises ``UsageError`` (unknown name, unusable device), ``ModelError`` (failed download; missing, damaged
    or foreign file; sizes that are not Whisper's).
    """
    check_device(device)
    name = str(name)
    found = checkpoints.resolve(name, download_root)
    official = name in checkpoints.available_models()
    if found is not None and found.format == "hf":
        raise UsageError(f"{name} is a folder of transformers: run it with --backend transformers")
    if found is not None and found.format == "ct2":
        model = _load_ct2(found.path, device)
        if official:
            model.set_alignment_heads(whisper._ALIGNMENT_HEADS[name])
    elif official:
        model = _load_official(name, device, download_root, in_memory)
    else:
        model = openai_file.load(Path(name), device or _default(), in_memory)
    openai_file.check_sizes(Path(name), model.dims)
    return steered(model)


def _load_official(
    name: str, device: str | torch.device | None, download_root: str | None, in_memory: bool
) -> Whisper:
    try:
        return whisper.load_model(name, device=device, download_root=download_root, in_memory=in_memory)
    except torch.OutOfMemoryError:
        raise ModelError(f"{name} does not fit on {device}: use a smaller model or the CPU") from None
    except (OSError, RuntimeError, TypeError) as exc:  # TypeError: a server that states no length
        reason = exc.reason if isinstance(exc, urllib.error.URLError) else str(exc).splitlines()[0]
        raise ModelError(
            f"model {name!r} is not on this machine and could not be downloaded ({reason}): {checkpoints.remedy(name)}"
        ) from None


def _load_ct2(folder: Path, device: str | torch.device | None) -> Whisper:
    try:
        return ct2.load_model(folder).to(device or _default())
    except torch.OutOfMemoryError:
        raise ModelError(f"{folder} does not fit on {device}: use a smaller model or the CPU") from None
    except OSError as exc:
        raise ModelError(
            f"{folder} cannot be loaded: {exc.strerror or exc}; copy it again or pass another"
        ) from None


def _default() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def check_device(device: str | torch.device | None) -> None:
    """Raise `UsageError` for a device of PyTorch that is not there."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as exc:
        reason = str(exc).splitlines()[0]
        raise UsageError(f"device {str(device)!r} cannot be used here ({reason}): choose cpu") from None
