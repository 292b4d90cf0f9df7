"""AudioSAE's released SAEs (arXiv 2602.05027): ``layer_N/ae.pt`` with ``encoder.weight, encoder.bias, decoder.weight,
b_dec, k``.

Batch-Top-K SAEs of Whisper and HuBERT. Their layers are block outputs counted from 1, ours from 0. The model cards
name no threshold, so inference is top-k per frame until one is calibrated; a file that has one keeps it. ``b_dec`` is
taken off the input, as in dictionary_learning, whose layout this is.

Inputs have unit norm (the paper). The released code was not at hand, and dictionary_learning's trainer scales biases
back to activations as they are before it saves; the two are told apart by ``b_dec``, which lies among the inputs: on
inputs of norm 1 its norm cannot be much above 1.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whisper_steer.files.card import damaged
from whisper_steer.sae.formats.dictionary_learning import matrices
from whisper_steer.sae.formats.tensors import built
from whisper_steer.sae.model import SAE

NAMES = frozenset({"encoder.weight", "encoder.bias", "decoder.weight", "b_dec", "k"})
LARGEST_CENTRE = 1.5
"""norm of ``b_dec`` above which inputs cannot have been of norm 1"""


def knows(path: Path, names: set[str]) -> bool:
    """Whether a file with these tensors is AudioSAE's: no threshold, or in a folder named as theirs are."""
    return names == NAMES or (names == NAMES | {"threshold"} and _layer(path) is not None)


def of(path: Path, tensors: dict[str, Tensor], config: dict[str, Any]) -> SAE:
    """The SAE of a state read from ``path``. Raises `ArtifactError`."""
    try:
        k, state = int(tensors["k"]), matrices(tensors)
        threshold = float(tensors.get("threshold", torch.tensor(-1.0)))
        raw = float(state["b_dec"].float().norm()) > LARGEST_CENTRE
    except (KeyError, ValueError, RuntimeError) as error:
        raise damaged(path, error) from error
    about: dict[str, Any] = {"format": "AudioSAE", "inputs": "as they are" if raw else "of norm 1"}
    trainer = config.get("trainer", config)
    if isinstance(trainer, dict) and trainer.get("lm_name") is not None:
        about["model"] = trainer["lm_name"]
    if (layer := _layer(path)) is not None:
        about["hook_point"] = f"blocks.{layer - 1}"
    norm = 1.0 if raw else None
    if threshold < 0:
        return built(path, state, k, "topk", norm, about)
    return built(path, state | {"threshold": torch.tensor(threshold)}, k, "threshold", norm, about)


def _layer(path: Path) -> int | None:
    found = re.fullmatch(r"layer_([1-9]\d*)", path.absolute().parent.name)
    return int(found[1]) if found else None
