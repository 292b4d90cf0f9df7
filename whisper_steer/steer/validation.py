"""Whether an artifact read from disk is sound: its card, and its tensors by themselves and together.

A gate with one NaN in it, or none calibrated, finds no speech anywhere: that must end in an error, not in silence.
"""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from whisper_steer.files.card import CARD
from whisper_steer.gate.kinds import KINDS, Conv, Gate, Linear
from whisper_steer.sae.model import Latents
from whisper_steer.steer.methods import Edits

FLOAT_MAX = torch.finfo(torch.float32).max
PARTS: dict[str, type] = {"gate": dict, "model": dict, "sae": dict, "plan": dict, "latents": list}
"""parts of the card that the package reads, with their types"""


def check_card(card: dict[str, Any]) -> None:
    """Raise `ValueError` where a field is missing or of another type than the package relies on."""
    for name in ("name", "fingerprint", "hook_point", "gate_point"):
        _need(isinstance(card.get(name), str), f"{CARD} has no text {name!r}")
    for point in (card["hook_point"], card["gate_point"]):
        _need(re.fullmatch(r"blocks\.[0-9]{1,4}|ln_post", point) is not None, f"unknown hook point {point!r}")
    _need(
        _depth(card["gate_point"]) <= _depth(card["hook_point"]),
        f"the gate at {card['gate_point']} reads behind the edits at {card['hook_point']}",
    )
    gate = card.get("gate")
    _need(isinstance(gate, dict) and gate.get("kind") in KINDS, f"{CARD} has no gate of a known kind")
    n = dict(gate or {}).get("calibration_utterances")
    _need(
        _is_number(n) and isinstance(n, int) and n > 0, f"{CARD} does not say how many utterances calibrate"
    )
    strengths = card.get("strengths")
    _need(isinstance(strengths, dict), f"{CARD} has no 'strengths'")
    for method, strength in dict(strengths or {}).items():
        _need(_is_number(strength), f"the strength of {method!r} is {strength!r}, no number")
    for name, kind in PARTS.items():
        _need(isinstance(card.get(name, kind()), kind), f"{name!r} in {CARD} is no {kind.__name__}")
    _need(
        all(isinstance(row, dict) for row in card.get("latents", [])), f"'latents' in {CARD} are no objects"
    )


def check_tensors(edits: Edits, gate: Gate, curve: Tensor, nonspeech: Tensor) -> None:
    """Raise `ValueError` where a tensor is not finite, not float32, or of a shape that does not go with the others."""
    n_state = edits.mean_difference.numel()
    _need(len(curve) > 0, "an empty calibration.curve")
    _check("calibration.curve", curve, -1, 2)
    _need(len(nonspeech) > 0, "an empty calibration.nonspeech")
    _check("calibration.nonspeech", nonspeech, -1)
    n = edits.sign.numel()
    _check_latents("edits.latents", edits.latents, n_state, n)
    for name in ("sign", "clamp_value", "typical"):
        _check(f"edits.{name}", getattr(edits, name), n)
    _check("edits.mean_difference", edits.mean_difference, n_state)
    silence, condition = edits.silence, edits.silence.condition
    moved, told = silence.change.numel(), condition.weight.numel()
    _check("edits.silence.change", silence.change, moved)
    _check_latents("edits.silence.latents", silence.latents, n_state, moved)
    _check("edits.silence.condition.weight", condition.weight, told)
    _check_latents("edits.silence.condition.latents", condition.latents, n_state, told)
    for name in ("bias", "threshold"):
        _check(f"edits.silence.condition.{name}", getattr(condition, name))
    _check("gate.mean", gate.mean, n_state)
    if isinstance(gate, Linear):
        _check("gate.bias", gate.bias)
        features = n_state
        if gate.latents is not None:
            features = gate.weight.numel()
            _check_latents("gate.latents", gate.latents, n_state, features)
        _check("gate.weight", gate.weight, features)
    elif isinstance(gate, Conv):
        hidden = gate.hidden_bias.numel()
        _check("gate.bias", gate.bias)
        _check("gate.weight", gate.weight, 2 * hidden)
        _check("gate.hidden_weight", gate.hidden_weight, n_state, hidden)
        _check("gate.hidden_bias", gate.hidden_bias, hidden)
        for name in ("near", "far"):
            taps = getattr(gate, f"{name}_weight")
            _check(f"gate.{name}_weight", taps, hidden, hidden, -1)
            _need(taps.shape[-1] % 2 == 1, f"gate.{name}_weight has an even number of taps")
            _check(f"gate.{name}_bias", getattr(gate, f"{name}_bias"), hidden)


def _check_latents(name: str, latents: Latents, n_state: int, n: int) -> None:
    _check(f"{name}.mean", latents.mean, n_state)
    _check(f"{name}.weight", latents.weight, n_state, n)
    _check(f"{name}.bias", latents.bias, n)
    _check(f"{name}.threshold", latents.threshold, *([n] if latents.threshold.dim() else []))
    _check(f"{name}.directions", latents.directions, n, n_state)
    if latents.frame_norm is not None:
        _check(f"{name}.frame_norm", latents.frame_norm)
        _need(bool(latents.frame_norm > 0), f"{name}.frame_norm is not above 0")


def _check(name: str, tensor: Tensor, *shape: int) -> None:
    """-1 in ``shape`` stands for any size."""
    fits = len(shape) == tensor.dim() and all(
        wanted in (-1, size) for wanted, size in zip(shape, tensor.shape, strict=True)
    )
    _need(fits, f"{name} has shape {tuple(tensor.shape)}, not {shape}")
    _need(tensor.dtype == torch.float32, f"{name} is of {tensor.dtype}, not float32")
    _need(bool(tensor.isfinite().all()), f"{name} holds NaN or infinite values")


def _depth(point: str) -> int:
    return 10_000 if point == "ln_post" else int(point.removeprefix("blocks."))


def _is_number(value: object) -> bool:
    """A number that a tensor can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return -FLOAT_MAX <= value <= FLOAT_MAX


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


__all__ = ["check_card", "check_tensors"]
