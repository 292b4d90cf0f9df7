"""Loading checkpoints: by official name or by path.

`checkpoints` finds the files, openai-whisper's own loader or `whisper_steer.formats.ct2` reads them; what
can go wrong with a file is told in one line.
"""

from __future__ import annotations

import pickle
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import whisper
from whisper.model import Whisper

from whisper_steer.errors import ModelError, UsageError
from whisper_steer.formats import ct2
from whisper_steer.models import checkpoints
from whisper_steer.models.steered import SteeredWhisper, steered

MEL_BINS = (80, 128)
AUDIO_FRAMES = 1500
SMALLEST_VOCABULARY = 51864  # the English one; the multilingual ones are larger


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
    _check_device(device)
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
        with _told_in_one_line(Path(name), device):
            model = whisper.load_model(name, device=device, in_memory=in_memory)
    dims = model.dims
    _check_sizes(Path(name), n_mels=dims.n_mels, n_audio_ctx=dims.n_audio_ctx, n_vocab=dims.n_vocab)
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
    with _told_in_one_line(folder, device):
        return ct2.load_model(folder).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _check_device(device: str | torch.device | None) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as exc:
        reason = str(exc).splitlines()[0]
        raise UsageError(f"device {str(device)!r} cannot be used here ({reason}): choose cpu") from None


@contextmanager
def _told_in_one_line(path: Path, device: str | torch.device | None) -> Iterator[None]:
    """Turn what torch and openai-whisper raise on a bad file into a `ModelError`."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise ModelError(f"{path} does not fit on {device}: use a smaller model or the CPU") from None
    except (KeyError, TypeError, AttributeError):
        raise ModelError(
            f"{path} is not a Whisper checkpoint: it needs 'dims' and 'model_state_dict'"
        ) from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError) as exc:
        fits = "loading state_dict" not in str(exc)
        reason = (
            "it is damaged or no PyTorch file" if fits else "its weights do not match the sizes it states"
        )
        raise ModelError(f"{path} cannot be loaded: {reason}; copy it again or pass another") from None


def _check_sizes(path: Path, *, n_mels: int, n_audio_ctx: int, n_vocab: int) -> None:
    """Refuse sizes with which a file loads, but Whisper's audio front end or tokenizer would fail later."""
    for fits, found, needed in (
        (n_mels in MEL_BINS, f"{n_mels} mel bins", "80 or 128"),
        (n_audio_ctx == AUDIO_FRAMES, f"{n_audio_ctx} audio frames", f"{AUDIO_FRAMES}"),
        (n_vocab >= SMALLEST_VOCABULARY, f"{n_vocab} tokens", f"{SMALLEST_VOCABULARY} or more"),
    ):
        if not fits:
            raise ModelError(f"{path} is of the wrong size: {found}, needed are {needed}")
