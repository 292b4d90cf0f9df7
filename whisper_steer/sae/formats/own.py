"""Our own format: one safetensors file of `whisper_steer.sae.model.SAE`'s tensors, its config as text beside them.

A file without that text is a Batch-Top-K SAE with unit-norm inputs, as those of artifacts are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from whisper_steer.files.card import damaged
from whisper_steer.sae.formats.tensors import built, read_tensors
from whisper_steer.sae.model import SAE

SCHEMA = 1
KEY = "whisper_steer"
"""of the text"""
NAMES = frozenset({"W_enc", "b_enc", "W_dec", "b_dec", "mean", "threshold"})


def read(path: Path, k: int = 50) -> SAE:
    """The SAE in a file; ``k`` is that of one whose file does not say it. Raises `ArtifactError`."""
    return of(path, *read_tensors(path), k)


def of(path: Path, tensors: dict[str, Tensor], texts: dict[str, str], k: int = 50) -> SAE:
    """The SAE of what a file at ``path`` holds. Raises `ArtifactError`."""
    try:
        said: dict[str, Any] = json.loads(texts.get(KEY, "{}"))
        if said.get("schema", SCHEMA) != SCHEMA:
            raise ValueError(f"schema {said['schema']!r}, this version reads {SCHEMA}")
        activation, norm = said.get("activation", "threshold"), said.get("frame_norm")
        if activation not in ("threshold", "topk"):
            raise ValueError(f"unknown activation {activation!r}")
        k, norm = int(said.get("k", k)), None if norm is None else float(norm)
        about = dict(said.get("about", {}))
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise damaged(path, error) from error
    return built(path, tensors, k, activation, norm, about)


def content(sae: SAE, half: bool = False) -> bytes:
    """The file. ``half``: matrices in float16, half as large."""
    said = {
        "schema": SCHEMA,
        "k": sae.config.k,
        "activation": sae.config.activation,
        "frame_norm": sae.config.frame_norm,
        "about": sae.about,
    }
    tensors = {
        name: tensor.detach()
        .cpu()
        .to(torch.float16 if half and tensor.dim() == 2 else torch.float32)
        .contiguous()
        for name, tensor in sae.state_dict().items()
    }
    return save(tensors, {KEY: json.dumps(said)})
