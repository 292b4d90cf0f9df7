"""Folders of CTranslate2, read into a model of openai-whisper: whole, or the encoder alone.

``model.bin`` (binary version 6): a header, then per variable its name, shape, type and bytes. Queries, keys and
values of an attention lie in one matrix there (of the decoder's cross-attention keys and values), with a bias for the
keys, which Whisper lacks. Weights stored as int8 have lost their last digits: such a folder cannot be told by its
fingerprint, while int8 that is computed from a float16 file on loading (``compute_type``) can.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from whisper.model import AudioEncoder, ModelDimensions, Whisper

from whisper_steer.encoders.fingerprint import weights_fingerprint
from whisper_steer.errors import ModelError
from whisper_steer.files.card import read_json

BINARY_VERSION = 6
DTYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("i1"),
    2: np.dtype("<i2"),
    3: np.dtype("<i4"),
    4: np.dtype("<f2"),
    5: np.dtype("<u2"),
}
"""by CTranslate2's type numbers"""
BFLOAT16 = 5
"""which NumPy does not have: it is the upper half of a float32"""

_BLOCK = {
    "self_attention/layer_norm": ("attn_ln",),
    "self_attention/linear_0": ("attn.query", "attn.key", "attn.value"),
    "self_attention/linear_1": ("attn.out",),
    "attention/layer_norm": ("cross_attn_ln",),
    "attention/linear_0": ("cross_attn.query",),
    "attention/linear_1": ("cross_attn.key", "cross_attn.value"),
    "attention/linear_2": ("cross_attn.out",),
    "ffn/layer_norm": ("mlp_ln",),
    "ffn/linear_0": ("mlp.0",),
    "ffn/linear_1": ("mlp.2",),
}
"""a block's modules, as CTranslate2 names them, by what they hold under OpenAI's names"""
_OUTSIDE = {
    "conv1/weight": "conv1.weight",
    "conv1/bias": "conv1.bias",
    "conv2/weight": "conv2.weight",
    "conv2/bias": "conv2.bias",
    "position_encodings/encodings": "positional_embedding",
    "embeddings/weight": "token_embedding.weight",
}
_FINAL = {"encoder": "ln_post", "decoder": "ln"}
"""the layer norm behind the last block"""


def load_model(folder: str | Path) -> Whisper:
    """The whole model of a CTranslate2 folder as openai-whisper's, float32 on the CPU, in evaluation mode.

    A model that `whisper_steer.formats.ct2_save` wrote in float16 comes back to the bit. The heads that time words are
    read from the folder's ``config.json``, where that names them. Raises `ModelError` as `load_encoder`.
    """
    weights, heads = read_weights(folder)
    if "decoder.token_embedding.weight" not in weights:
        raise ModelError(f"{folder} holds no decoder; convert the whole model with: whisper-steer export")
    n_vocab, n_text_state = weights["decoder.token_embedding.weight"].shape
    n_audio_state, n_mels, _ = weights["encoder.conv1.weight"].shape
    dims = ModelDimensions(
        n_mels=n_mels,
        n_audio_ctx=len(weights["encoder.positional_embedding"]),
        n_audio_state=n_audio_state,
        n_audio_head=heads["encoder"],
        n_audio_layer=_count_blocks(weights, "encoder"),
        n_vocab=n_vocab,
        n_text_ctx=len(weights["decoder.positional_embedding"]),
        n_text_state=n_text_state,
        n_text_head=heads["decoder"],
        n_text_layer=_count_blocks(weights, "decoder"),
    )
    model = Whisper(dims)
    _load_state(model, weights, folder)
    _set_alignment_heads(model, Path(folder) / "config.json")
    return model.eval()


def load_encoder(folder: str | Path, n_blocks: int | None = None) -> AudioEncoder:
    """The encoder of a CTranslate2 folder as openai-whisper's, float32, in evaluation mode.

    ``n_blocks``: its first so many blocks only. Raises `ModelError` where the folder holds no Whisper, is damaged, of
    another binary version, or stored in int8.
    """
    everything, heads = read_weights(folder, "encoder")
    weights = _part(everything, "encoder")
    n_state, n_mels, _ = weights["conv1.weight"].shape
    n_ctx, present = len(weights["positional_embedding"]), _count_blocks(everything, "encoder")
    n_layer = present if n_blocks is None else min(n_blocks, present)
    left_out = tuple(f"blocks.{i}." for i in range(n_layer, present))
    weights = {name: weight for name, weight in weights.items() if not name.startswith(left_out or ("-",))}
    encoder = AudioEncoder(n_mels, n_ctx, n_state, heads["encoder"], n_layer)
    _load_state(encoder, weights, folder)
    return encoder.eval()


def fingerprint(folder: str | Path) -> str:
    """The encoder's fingerprint, see `whisper_steer.encoders.fingerprint.encoder_fingerprint`. Raises `ModelError`."""
    weights = _part(read_weights(folder, "encoder")[0], "encoder")
    del weights["positional_embedding"]
    return weights_fingerprint(weights)


def read_weights(
    folder: str | Path, *stacks: Literal["encoder", "decoder"]
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The weights of both stacks, or of those named, under OpenAI's names; and the number of heads of each.

    Weights are as stored, of bfloat16 the same numbers in float32. What is not asked for is not read.
    """
    path = Path(folder) / "model.bin"
    if not path.is_file():
        raise ModelError(
            f"{folder} is no CTranslate2 model: it has no model.bin; convert one with: whisper-steer export"
        )
    weights: dict[str, Tensor] = {}
    heads: dict[str, int] = {}
    quantised = False
    try:
        for name, value in _variables(path):
            stack, _, rest = name.partition("/")
            if stacks and stack not in stacks:
                continue
            if rest == "num_heads":
                heads[stack] = int(value.item())
            quantised |= rest.endswith("weight_scale")
            weights |= {f"{stack}.{ours}": tensor for ours, tensor in _renamed(stack, rest, value).items()}
    except (struct.error, ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is damaged ({error}); convert it again") from None
    if (
        not {"encoder.conv1.weight", "encoder.positional_embedding"} <= weights.keys()
        or "encoder" not in heads
    ):
        raise ModelError(f"{folder} holds no Whisper model; convert one with: whisper-steer export")
    if quantised or weights["encoder.conv1.weight"].ndim != 3:
        raise ModelError(
            f"{folder} was stored in int8, so its weights cannot be read: convert it with --quantization float16 "
            "(compute_type='int8' quantises on loading), or give the original .pt as checkpoint"
        )
    return weights, heads


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
            value = np.frombuffer(data, dtype, size // dtype.itemsize, at).reshape(shape)
            yield name, (value.astype("<u4") << 16).view("<f4") if kind == BFLOAT16 else value
        at += size


def _renamed(stack: str, name: str, value: npt.NDArray[Any]) -> dict[str, Tensor]:
    """One variable of the encoder or the decoder under OpenAI's names; several where matrices lie in one."""
    if name in _OUTSIDE:
        return {_OUTSIDE[name]: torch.from_numpy(np.array(value))}
    layer, _, rest = name.partition("/")
    module, _, kind = rest.rpartition("/")
    kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)
    names: tuple[str, ...]
    if layer == "layer_norm" and stack in _FINAL:
        names, place = (_FINAL[stack],), ""
        kind = {"gamma": "weight", "beta": "bias"}[rest]
    elif layer.startswith("layer_") and module in _BLOCK and kind in ("weight", "bias"):
        names, place = _BLOCK[module], f"blocks.{layer.removeprefix('layer_')}."
    else:
        return {}
    parts = torch.from_numpy(np.array(value)).chunk(len(names))
    return {
        f"{place}{ours}.{kind}": part
        for ours, part in zip(names, parts, strict=True)
        if not (ours.endswith(".key") and kind == "bias")  # zeros: Whisper's keys have no bias
    }


def _part(weights: dict[str, Tensor], stack: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{stack}."): v for k, v in weights.items() if k.startswith(f"{stack}.")}


def _count_blocks(weights: dict[str, Tensor], stack: str) -> int:
    return 1 + max(int(name.split(".")[2]) for name in weights if name.startswith(f"{stack}.blocks."))


def _load_state(module: Whisper | AudioEncoder, weights: dict[str, Tensor], folder: str | Path) -> None:
    try:
        module.load_state_dict(weights)
    except RuntimeError:
        raise ModelError(f"{folder} holds no complete Whisper model; convert it again") from None


def _set_alignment_heads(model: Whisper, config: Path) -> None:
    try:
        pairs = read_json(config)["alignment_heads"]
        heads = torch.zeros(model.dims.n_text_layer, model.dims.n_text_head, dtype=torch.bool)
        for layer, head in pairs:
            heads[layer, head] = True
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return  # openai-whisper's own default stays: the heads of the later half of the blocks
    model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
