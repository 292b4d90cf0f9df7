"""Folders of CTranslate2: written from a model of openai-whisper, and the encoder read back out of one.

``model.bin`` (binary version 6): a header, then per variable its name, shape, type and bytes. Queries, keys and
values of an attention lie in one matrix there. Weights stored as int8 have lost their last digits: such a folder
cannot be told by its fingerprint, while int8 that is computed from a float16 file on loading (``compute_type``) can.
"""

from __future__ import annotations

import mmap
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from whisper.model import AudioEncoder, Whisper

from whisper_steer.errors import ModelError
from whisper_steer.formats.hf import import_transformers, quiet, save_hf
from whisper_steer.models import weights_fingerprint

BINARY_VERSION = 6
DTYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("i1"),
    2: np.dtype("<i2"),
    3: np.dtype("<i4"),
    4: np.dtype("<f2"),
}
"""by CTranslate2's type numbers; 5 is bfloat16, which NumPy does not have"""

_BLOCK = {
    "self_attention/layer_norm/gamma": "attn_ln.weight",
    "self_attention/layer_norm/beta": "attn_ln.bias",
    "self_attention/linear_1/weight": "attn.out.weight",
    "self_attention/linear_1/bias": "attn.out.bias",
    "ffn/layer_norm/gamma": "mlp_ln.weight",
    "ffn/layer_norm/beta": "mlp_ln.bias",
    "ffn/linear_0/weight": "mlp.0.weight",
    "ffn/linear_0/bias": "mlp.0.bias",
    "ffn/linear_1/weight": "mlp.2.weight",
    "ffn/linear_1/bias": "mlp.2.bias",
}


def save_ct2(model: Whisper, folder: Path, quantization: str | None = "float16") -> None:
    """Write the folder that faster-whisper loads. ``quantization``: as CTranslate2's converter names them.

    Raises `MissingPackageError` without transformers, through which CTranslate2 converts.
    """
    import_transformers()
    from ctranslate2.converters import TransformersConverter

    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        save_hf(model, Path(scratch))
        converter = TransformersConverter(
            scratch, copy_files=["tokenizer.json", "preprocessor_config.json"], load_as_float16=True
        )
        with quiet():
            converter.convert(str(folder), quantization=quantization, force=True)


def load_encoder(folder: str | Path) -> AudioEncoder:
    """The encoder of a CTranslate2 folder as openai-whisper's, float32, in evaluation mode.

    Raises `ModelError` where the folder holds no Whisper, is of another binary version, or was stored in int8.
    """
    weights = encoder_weights(folder)
    heads = int(weights.pop("n_head").item())
    n_layer = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    n_state, n_mels, _ = weights["conv1.weight"].shape
    n_ctx = len(weights["positional_embedding"])
    encoder = AudioEncoder(n_mels, n_ctx, n_state, heads, n_layer)
    for block, wide in ((b, weights[f"blocks.{i}.mlp.0.bias"]) for i, b in enumerate(encoder.blocks)):
        if len(wide) != block.mlp[0].out_features:
            block.mlp[0] = type(block.mlp[0])(n_state, len(wide))
            block.mlp[2] = type(block.mlp[2])(len(wide), n_state)
    encoder.load_state_dict(weights)
    return encoder.eval()


def fingerprint(folder: str | Path) -> str:
    """The encoder's fingerprint, see `whisper_steer.models.encoder_fingerprint`. Raises `ModelError`."""
    weights = encoder_weights(folder)
    return weights_fingerprint(
        {k: v for k, v in weights.items() if k not in ("positional_embedding", "n_head")}
    )


def encoder_weights(folder: str | Path) -> dict[str, Tensor]:
    """The encoder's weights under OpenAI's names, as stored, with ``positional_embedding`` and ``n_head``."""
    path = Path(folder) / "model.bin"
    if not path.is_file():
        raise ModelError(
            f"{folder} is no CTranslate2 model: it has no model.bin; convert one with: whisper-steer export"
        )
    weights: dict[str, Tensor] = {}
    try:
        for name, value in _variables(path):
            if name.startswith("encoder/"):
                weights |= _renamed(name.removeprefix("encoder/"), value)
    except (struct.error, ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is damaged ({error}); convert it again") from None
    if "conv1.weight" not in weights or "n_head" not in weights:
        raise ModelError(f"{folder} holds no Whisper model; convert one with: whisper-steer export")
    if len(weights["conv1.weight"].shape) != 3 or any(name.endswith("weight_scale") for name in weights):
        raise ModelError(
            f"{folder} was stored in int8, so its encoder cannot be read: convert it with --quantization float16 "
            "(compute_type='int8' quantises on loading), or give the original .pt as checkpoint"
        )
    return weights


def _variables(path: Path) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    with path.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    at = 0

    def number(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{kind}", data, at)
        at += struct.calcsize(f"<{kind}")
        return int(value)

    def text() -> str:
        nonlocal at
        length = number("H")
        value = bytes(data[at : at + length - 1]).decode("utf-8")
        at += length
        return value

    version = number("I")
    if version != BINARY_VERSION:
        raise ModelError(
            f"{path} has binary version {version}, {BINARY_VERSION} can be read; convert it again"
        )
    text(), number("I")  # the kind of model and its revision
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        if at + size > len(data):
            raise ValueError("it ends too early")
        if dtype := DTYPES.get(kind):
            yield name, np.frombuffer(data, dtype, size // dtype.itemsize, at).reshape(shape)
        at += size


def _renamed(name: str, value: npt.NDArray[Any]) -> dict[str, Tensor]:
    def tensor() -> Tensor:
        return torch.from_numpy(np.array(value))

    part, _, rest = name.partition("/")
    if part.startswith("layer_") and part[6:].isdigit():
        block = f"blocks.{part[6:]}"
        if rest.endswith("weight_scale"):
            return {f"{block}.weight_scale": tensor()}
        if rest in _BLOCK:
            return {f"{block}.{_BLOCK[rest]}": tensor()}
        if rest == "self_attention/linear_0/weight":
            fused = tensor().chunk(3)
            return {
                f"{block}.attn.{k}.weight": w for k, w in zip(("query", "key", "value"), fused, strict=True)
            }
        if rest == "self_attention/linear_0/bias":
            query, _, values = tensor().chunk(3)
            return {f"{block}.attn.query.bias": query, f"{block}.attn.value.bias": values}
        return {}
    if part in ("conv1", "conv2"):
        return {f"{part}.{rest}": tensor()}
    final = {"layer_norm/gamma": "ln_post.weight", "layer_norm/beta": "ln_post.bias"}
    final |= {"position_encodings/encodings": "positional_embedding", "num_heads": "n_head"}
    return {final[name]: tensor()} if name in final else {}
