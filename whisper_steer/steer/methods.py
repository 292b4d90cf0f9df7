"""The five ways to steer, behind one interface: activations of frames in, what to add to them out.

All write back a difference only, never the SAE's reconstruction: ``h' = h + (z' - z) W_dec``, so what the SAE fails
to reconstruct stays in place. The additive and multiplicative forms were published with the reconstruction written
back (`whisper_steer.eval.curves.baselines` does that); here they differ only in how z' is made. `METHODS` is the one
list of them, with strengths and sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from whisper_steer.errors import UsageError
from whisper_steer.steer.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

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


METHODS: Registry[Edits] = Registry()


@METHODS.register("clamp", (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0), "this project")
def clamp(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = clamp value, the error-preserving clamp of this project; ``strength`` 1 clamps fully, 0 not at all."""
    z, scale = edits.latents.encode(h)
    return edits.latents.delta(strength * (edits.clamp_value - z), scale)


@METHODS.register("additive", (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4), "arXiv 2602.05027")
def additive(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = z + a v with v = +-1 against the latent's coefficient (AudioSAE, arXiv 2602.05027)."""
    _, scale = edits.latents.encode(h)
    return edits.latents.delta((strength * edits.sign).expand(*h.shape[:-1], -1), scale)


@METHODS.register("scaled-additive", (0.125, 0.25, 0.5, 1.0, 2.0, 4.0), "arXiv 2606.07473")
def scaled_additive(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = z + a s Z with Z the latent's typical activation and s its sign (arXiv 2606.07473)."""
    _, scale = edits.latents.encode(h)
    return edits.latents.delta((strength * edits.sign * edits.typical).expand(*h.shape[:-1], -1), scale)


@METHODS.register("multiplicative", (1.25, 1.5, 2.0, 3.0, 10.0), "arXiv 2606.07473")
def multiplicative(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = z a^s: active latents grow or shrink by the factor a, inactive ones stay (arXiv 2606.07473)."""
    if strength <= 0:
        raise UsageError(f"the multiplicative method needs a strength above 0, not {strength}")
    z, scale = edits.latents.encode(h)
    return edits.latents.delta(z * (strength**edits.sign - 1.0), scale)


@METHODS.register("mean-difference", (0.125, 0.25, 0.5, 1.0, 2.0), "arXiv 2312.06681")
def mean_difference(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """h' = h + a (mean of silent non-speech - mean of speech), in activation space, without the SAE."""
    return (strength * edits.mean_difference).expand_as(h)
