"""Whether an artifact read from disk is sound: its card, and its tensors by themselves and together.

A gate with one NaN in it, or none calibrated, finds no speech anywhere: that must end in an error, not in silence.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from whisper_steer.errors import ArtifactError
from whisper_steer.gate import Gate
from whisper_steer.methods import Edits
from whisper_steer.sae import Latents

CARD = "card.json"
PARTS: dict[str, type] = {"gate": dict, "model": dict, "sae": dict, "plan": dict, "latents": list}
"""parts of the card that the package reads, with their types"""


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a folder. Raises `ArtifactError` where it cannot be read or is no JSON object."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(folder, error) from error
    if not isinstance(card, dict):
        raise damaged(folder, f"{CARD} holds no object")
    return card


def damaged(folder: Path, why: Exception | str) -> ArtifactError:
    """The error for an artifact that cannot be used, in one line."""
    text = " ".join(str(why).split())
    text = text if isinstance(why, str) else f"{type(why).__name__}: {text}"
    return ArtifactError(f"{folder} is damaged ({text}); copy or fit it again")


def check_card(card: dict[str, Any]) -> None:
    """Raise `ValueError` where a field is missing or of another type than the package relies on."""
    for name in ("name", "fingerprint", "hook_point"):
        _need(isinstance(card.get(name), str), f"{CARD} has no text {name!r}")
    point = card["hook_point"]
    _need(re.fullmatch(r"blocks\.[0-9]{1,4}|ln_post", point) is not None, f"unknown hook point {point!r}")
    strengths = card.get("strengths")
    _need(isinstance(strengths, dict), f"{CARD} has no 'strengths'")
    for method, strength in dict(strengths or {}).items():
        _need(_is_number(strength), f"the strength of {method!r} is {strength!r}, no number")
    for name, kind in PARTS.items():
        _need(isinstance(card.get(name, kind()), kind), f"{name!r} in {CARD} is no {kind.__name__}")
    _need(
        all(isinstance(row, dict) for row in card.get("latents", [])), f"'latents' in {CARD} are no objects"
    )


def check_tensors(edits: Edits, gate: Gate, speech_scores: Tensor, nonspeech_scores: Tensor) -> None:
    """Raise `ValueError` where a tensor is not finite, not float32, or of a shape that does not go with the others."""
    n_state = edits.mean_difference.numel()
    for name, scores in (("speech_scores", speech_scores), ("nonspeech_scores", nonspeech_scores)):
        _need(len(scores.shape) == 1 and len(scores) > 0, f"{name} of shape {tuple(scores.shape)}")
        _check(name, scores, len(scores))
    n = edits.sign.numel()
    _check_latents("edits.latents", edits.latents, n_state, n)
    for name in ("sign", "clamp_value", "typical"):
        _check(f"edits.{name}", getattr(edits, name), n)
    _check("edits.mean_difference", edits.mean_difference, n_state)

    features = gate.weight.numel()
    _check("gate.weight", gate.weight, features)
    _check("gate.bias", gate.bias)
    _check("gate.mean", gate.mean, n_state)
    if gate.context is not None:
        _check("gate.context", gate.context, features)
    hidden = 0 if gate.hidden_bias is None else gate.hidden_bias.numel()
    layers = {
        "hidden_weight": (n_state, hidden),
        "hidden_bias": (hidden,),
        "conv_weight": (hidden, hidden, -1),
        "conv_bias": (hidden,),
    }
    present = [name for name in layers if getattr(gate, name) is not None]
    _need(len(present) in (0, len(layers)), "a part of the gate's convolution is missing")
    for name in present:
        _check(f"gate.{name}", getattr(gate, name), *layers[name])
    if gate.latents is not None:
        _need(not present, "the gate has latents and a convolution")
        _check_latents("gate.latents", gate.latents, n_state, features)
    elif present:
        _need(
            features in (hidden, hidden + n_state), f"gate.weight has {features} values for {hidden} features"
        )
    else:
        _need(features == n_state, f"gate.weight has {features} values for activations of width {n_state}")


def _check_latents(name: str, latents: Latents, n_state: int, n: int) -> None:
    _check(f"{name}.mean", latents.mean, n_state)
    _check(f"{name}.weight", latents.weight, n_state, n)
    _check(f"{name}.bias", latents.bias, n)
    _check(f"{name}.threshold", latents.threshold)
    _check(f"{name}.directions", latents.directions, n, n_state)


def _check(name: str, tensor: Tensor, *shape: int) -> None:
    """-1 in ``shape`` stands for any size."""
    fits = len(shape) == tensor.dim() and all(
        wanted in (-1, size) for wanted, size in zip(shape, tensor.shape, strict=True)
    )
    _need(fits, f"{name} has shape {tuple(tensor.shape)}, not {shape}")
    _need(tensor.dtype == torch.float32, f"{name} is of {tensor.dtype}, not float32")
    _need(bool(tensor.isfinite().all()), f"{name} holds NaN or infinite values")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


__all__ = ["CARD", "check_card", "check_tensors", "damaged", "read_card"]
