"""A checkpoint file in OpenAI's layout, ``{"dims": ..., "model_state_dict": ...}``: read, checked, then built.

Of the pickle only tensors and plain containers are read. What the file states is compared with the weights that it
holds before a model of these sizes is made, so that no lie in it costs more memory than the file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from whisper.model import ModelDimensions, Whisper

from whisper_steer.errors import ModelError

MEL_BINS = (80, 128)
AUDIO_FRAMES = 1500
SMALLEST_VOCABULARY = 51864  # the English one; the multilingual ones are larger
_HEADS = "some that share the width, which is even, evenly"


def load(path: Path, device: str | torch.device, in_memory: bool = False) -> Whisper:
    """The model in a file, float32 on ``device``. ``in_memory``: read the whole file first. Raises `ModelError`."""
    found = _read(path, device, in_memory)
    dims, weights = _parts(path, found)
    check_sizes(path, dims)
    _check_weights(path, dims, weights)
    model = Whisper(dims)
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError:
        raise _unlike(path) from None
    return model.to(device)


def check_sizes(path: Path, dims: ModelDimensions) -> None:
    """Refuse sizes with which a file loads, but Whisper's audio front end, tokenizer or attention would fail later."""
    for fits, found, needed in (
        (dims.n_mels in MEL_BINS, f"{dims.n_mels} mel bins", "80 or 128"),
        (dims.n_audio_ctx == AUDIO_FRAMES, f"{dims.n_audio_ctx} audio frames", f"{AUDIO_FRAMES}"),
        (dims.n_vocab >= SMALLEST_VOCABULARY, f"{dims.n_vocab} tokens", f"{SMALLEST_VOCABULARY} or more"),
        (
            _divides(dims.n_audio_head, dims.n_audio_state),
            f"{dims.n_audio_head} heads of the encoder",
            _HEADS,
        ),
        (_divides(dims.n_text_head, dims.n_text_state), f"{dims.n_text_head} heads of the decoder", _HEADS),
    ):
        if not fits:
            raise ModelError(f"{path} is of the wrong size: {found}, needed are {needed}")


def _divides(heads: int, width: int) -> bool:
    return heads > 0 and width > 0 and width % heads == 0 and width % 2 == 0


def _read(path: Path, device: str | torch.device, in_memory: bool) -> Any:
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on pickles that it then refuses
            return torch.load(
                io.BytesIO(file.read()) if in_memory else file, map_location=device, weights_only=True
            )
    except torch.OutOfMemoryError:
        raise ModelError(f"{path} does not fit on {device}: use a smaller model or the CPU") from None
    except Exception:  # a pickle that is none of ours fails in whatever way its bytes make it fail
        raise ModelError(
            f"{path} cannot be loaded: it is damaged or no PyTorch file; copy it again or pass another"
        ) from None


def _parts(path: Path, found: Any) -> tuple[ModelDimensions, Mapping[str, Any]]:
    """The sizes and the weights. Raises `ModelError` where the file holds something else."""
    names = {field.name for field in fields(ModelDimensions)}
    dims, weights = (
        (found.get("dims"), found.get("model_state_dict")) if isinstance(found, Mapping) else (None, None)
    )
    if (
        not isinstance(dims, Mapping)
        or set(dims) != names
        or not all(isinstance(size, int) and not isinstance(size, bool) for size in dims.values())
        or not isinstance(weights, Mapping)
    ):
        raise ModelError(f"{path} is not a Whisper checkpoint: it needs 'dims' and 'model_state_dict'")
    return ModelDimensions(**dims), weights


def _check_weights(path: Path, dims: ModelDimensions, weights: Mapping[str, Any]) -> None:
    """Raise `ModelError` unless the weights are floats and of the sizes that the file states."""
    for name, weight in weights.items():
        if not isinstance(weight, Tensor) or not weight.is_floating_point():
            kind = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
            raise ModelError(
                f"{path} cannot be used: {name} is of {kind}; save its weights as float16 or float32"
            )
    shapes = {
        "encoder.conv1.weight": (dims.n_audio_state, dims.n_mels, 3),
        "decoder.token_embedding.weight": (dims.n_vocab, dims.n_text_state),
        "decoder.positional_embedding": (dims.n_text_ctx, dims.n_text_state),
    }
    counts = {
        stack: len({name.split(".")[2] for name in weights if name.startswith(f"{stack}.blocks.")})
        for stack in ("encoder", "decoder")
    }
    blocks = {"encoder": dims.n_audio_layer, "decoder": dims.n_text_layer}
    found = {name: tuple(weights[name].shape) for name in shapes if name in weights}
    if counts != blocks or found != shapes:
        raise _unlike(path)


def _unlike(path: Path) -> ModelError:
    return ModelError(
        f"{path} cannot be loaded: its weights do not match the sizes it states; copy it again or pass another"
    )


__all__ = ["AUDIO_FRAMES", "MEL_BINS", "SMALLEST_VOCABULARY", "check_sizes", "load"]
