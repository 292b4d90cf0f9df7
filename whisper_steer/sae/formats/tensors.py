"""What all formats share: tensors out of a file without running anything in it, and an SAE out of sound ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from whisper_steer.errors import ArtifactError
from whisper_steer.files.card import damaged, read_json
from whisper_steer.sae.model import SAE, Activation

SHAPES = {"W_enc": "dn", "b_enc": "n", "W_dec": "nd", "b_dec": "d", "mean": "d"}


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file of safetensors or of torch, and the text that safetensors keep beside them.

    Of a pickle only tensors and plain containers are read (``weights_only``). Raises `ArtifactError` where the file is
    missing, damaged, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            is_safetensors = path.suffix == ".safetensors" or file.read(9)[8:] == b"{"
        if is_safetensors:
            with safe_open(path, "pt") as opened:
                names = opened.keys()
                return {name: opened.get_tensor(name) for name in names}, dict(opened.metadata() or {})
    except (OSError, SafetensorError, ValueError) as error:
        raise damaged(path, error) from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a pickle that is none of ours fails in whatever way its bytes make it fail
        why = "it is neither safetensors nor weights of torch, or holds more than weights, which is never run"
        raise ArtifactError(f"{path} is no file of tensors: {why}") from error
    if not isinstance(found, dict):
        raise ArtifactError(f"{path} holds no named tensors: save the SAE's state_dict()")
    return {str(name): torch.as_tensor(value) for name, value in found.items() if _is_number(value)}, {}


def read_config(path: Path) -> dict[str, Any]:
    """A JSON object; {} where there is no such file. Raises `ArtifactError` where it is no object."""
    try:
        found = read_json(path) if path.is_file() else {}
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    if not isinstance(found, dict):
        raise damaged(path, "it holds no object")
    return found


def built(
    path: Path,
    state: Mapping[str, Tensor],
    k: int = 0,
    activation: Activation = "threshold",
    frame_norm: float | None = None,
    about: Mapping[str, Any] | None = None,
) -> SAE:
    """The SAE of the tensors in a file at ``path``, which may lack ``mean`` and ``threshold``, both 0 then.

    Raises `ArtifactError` where they do not go together or are not finite.
    """
    try:
        n_state, n_latents = state["W_enc"].shape
        state = {"mean": torch.zeros(n_state), "threshold": torch.zeros(()), **state}
        sizes = {"d": n_state, "n": n_latents}
        for name, dims in SHAPES.items():
            shape = tuple(sizes[dim] for dim in dims)
            if tuple(state[name].shape) != shape:
                raise ValueError(f"{name} has shape {tuple(state[name].shape)}, not {shape}")
        for name, value in state.items():
            if not bool(value.isfinite().all()):
                raise ValueError(f"{name} holds NaN or infinite values")
        if activation == "topk" and not 0 < k <= n_latents:
            raise ValueError(f"a k of {k} for {n_latents} latents")
        if frame_norm is not None and not frame_norm > 0:
            raise ValueError(f"frames divided by {frame_norm}")
        sae = SAE.of(state, k, activation, frame_norm)
    except (KeyError, ValueError, TypeError, RuntimeError) as error:
        raise damaged(path, error) from error
    sae.about = dict(about or {})
    return sae


def _is_number(value: object) -> bool:
    return isinstance(value, Tensor | int | float) and not isinstance(value, bool)
