"""dictionary_learning's ``ae.pt`` with ``config.json`` beside it (github.com/saprmarks/dictionary_learning).

Written by its published code; the package itself pins others that cannot be installed beside this one's. Its trainer
scales biases back before it saves, so all of these take activations as they are. Classes by their tensors:

====================================================  =================================================
``encoder.*, decoder.weight, bias``                   AutoEncoder: ReLU
``encoder.*, decoder.weight, decoder.bias``           AutoEncoderNew: ReLU, nothing taken off the input
``encoder.*, decoder.weight, b_dec, k, threshold``    BatchTopKSAE: the threshold; AutoEncoderTopK: top-k
``W_enc, b_enc, W_dec, b_dec, k, threshold, ...``     MatryoshkaBatchTopKSAE: the threshold
``W_enc, b_enc, W_dec, b_dec, threshold``             JumpReluAutoEncoder: latents times their row's norm
====================================================  =================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whisper_steer.errors import ArtifactError
from whisper_steer.files.card import damaged
from whisper_steer.sae.formats.tensors import built
from whisper_steer.sae.model import SAE

AE = "ae.pt"
CONFIG = "config.json"


def knows(names: set[str]) -> bool:
    """Whether tensors of these names are an SAE of one of the classes, gated ones included."""
    return {"encoder.weight", "decoder.weight"} <= names or {"W_enc", "W_dec", "b_enc", "b_dec"} <= names


def of(path: Path, tensors: dict[str, Tensor], config: dict[str, Any]) -> SAE:
    """The SAE of a state read from ``path``. Raises `ArtifactError` for the Gated SAE, and where parts are missing."""
    if "gate_bias" in tensors:
        raise ArtifactError(
            f"{path} is a Gated SAE, which is not supported: use a ReLU, TopK, Batch-Top-K or JumpReLU one"
        )
    try:
        trainer = config.get("trainer", config)
        dict_class = str(trainer.get("dict_class", ""))
        k = int(tensors["k"]) if "k" in tensors else int(trainer.get("k") or 0)
        about = {"format": "dictionary_learning"} | {
            name: trainer[name]
            for name in ("dict_class", "lm_name", "layer", "submodule_name")
            if trainer.get(name) is not None
        }
        state = matrices(tensors)
        if "W_enc" in tensors and "k" not in tensors:
            return built(path, _rescaled(state, tensors["threshold"].float()), 0, frame_norm=1.0, about=about)
        threshold = float(tensors.get("threshold", torch.tensor(-1.0)))
        if k and (dict_class == "AutoEncoderTopK" or threshold < 0):
            return built(path, state, k, "topk", 1.0, about)
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise damaged(path, error) from error
    return built(
        path, state | {"threshold": torch.tensor(max(0.0, threshold))}, k, frame_norm=1.0, about=about
    )


def matrices(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of `SAE` but for ``mean`` and ``threshold``. Raises `KeyError`, `RuntimeError`."""
    if "W_enc" in tensors:
        return {name: tensors[name] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    state = {
        "W_enc": tensors["encoder.weight"].T,
        "b_enc": tensors["encoder.bias"],
        "W_dec": tensors["decoder.weight"].T,
    }
    if "decoder.bias" in tensors:
        return not_taken_off(state | {"b_dec": tensors["decoder.bias"]})
    return state | {"b_dec": tensors["b_dec"] if "b_dec" in tensors else tensors["bias"]}


def not_taken_off(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same SAE for one that does not take ``b_dec`` off its input: its encoder's bias puts it back."""
    added = state["b_dec"].double() @ state["W_enc"].double()
    return state | {"b_enc": state["b_enc"].double() + added}


def _rescaled(state: dict[str, Tensor], threshold: Tensor) -> dict[str, Tensor]:
    rows = state["W_dec"].float().norm(dim=1)
    state = not_taken_off(state)
    return {
        "W_enc": state["W_enc"] * rows,
        "b_enc": state["b_enc"] * rows,
        "W_dec": state["W_dec"] / rows[:, None],
        "b_dec": state["b_dec"],
        "threshold": threshold * rows,
    }
