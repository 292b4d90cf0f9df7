"""The five ways to steer, behind one interface: activations of frames in, what to add to them out.

All write back a difference only, never the SAE's reconstruction: ``h' = h + (z' - z) W_dec``, so what the SAE fails
to reconstruct stays in place. The additive and multiplicative forms were published with the reconstruction written
back (`write_back_reconstruction` in the evaluation does that); here they differ only in how z' is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from whisper_steer.errors import UsageError
from whisper_steer.sae.model import Latents


@dataclass
class Edits:
    """What the methods act with; fitted once and stored in the artifact. n latents were selected."""

    latents: Latents
    sign: Tensor
    """(n,) +1 where the latent speaks for silence, -1 where it makes the decoder write"""
    clamp_value: Tensor
    """(n,) the activation each latent has on windows that the decoder leaves empty"""
    typical: Tensor
    """(n,) mean activation where the latent is active"""
    mean_difference: Tensor
    """(n_state,) mean activation of silent non-speech minus mean activation of speech"""

    def to(self, device: torch.device) -> Edits:
        tensors = {name: value.to(device) for name, value in vars(self).items() if name != "latents"}
        return Edits(latents=self.latents.to(device), **tensors)


Method = Callable[[Tensor, Edits, float], Tensor]
"""(activations (..., n_state) in float32, edits, strength) -> what to add to them, same shape."""


def clamp(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = clamp value, the error-preserving clamp of this project; ``strength`` 1 clamps fully, 0 not at all."""
    z, scale = edits.latents.encode(h)
    return edits.latents.delta(strength * (edits.clamp_value - z), scale)


def additive(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = z + a v with v = +-1 against the latent's coefficient (AudioSAE, arXiv 2602.05027)."""
    _, scale = edits.latents.encode(h)
    return edits.latents.delta((strength * edits.sign).expand(*h.shape[:-1], -1), scale)


def scaled_additive(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = z + a s Z with Z the latent's typical activation and s its sign (arXiv 2606.07473)."""
    _, scale = edits.latents.encode(h)
    return edits.latents.delta((strength * edits.sign * edits.typical).expand(*h.shape[:-1], -1), scale)


def multiplicative(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = z a^s: active latents grow or shrink by the factor a, inactive ones stay (arXiv 2606.07473)."""
    if strength <= 0:
        raise UsageError(f"the multiplicative method needs a strength above 0, not {strength}")
    z, scale = edits.latents.encode(h)
    return edits.latents.delta(z * (strength**edits.sign - 1.0), scale)


def mean_difference(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """h' = h + a (mean of silent non-speech - mean of speech), in activation space, without the SAE."""
    return (strength * edits.mean_difference).expand_as(h)


METHODS: dict[str, Method] = {
    "clamp": clamp,
    "additive": additive,
    "scaled-additive": scaled_additive,
    "multiplicative": multiplicative,
    "mean-difference": mean_difference,
}


def get_method(name: str) -> Method:
    """The method of that name; `UsageError` lists the names there are."""
    if name not in METHODS:
        raise UsageError(f"unknown method {name!r}; choose one of {', '.join(METHODS)}")
    return METHODS[name]
