"""The ways to steer, behind one interface: activations of frames in, what to add to them out.

All write back a difference only, never the SAE's reconstruction: ``h' = h + (z' - z) W_dec``, so what the SAE fails
to reconstruct stays in place. `METHODS` is the one list of them, with strengths and sources; published methods that
were measured and lost are in `whisper_steer.eval.published`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from whisper_steer.steer.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from whisper_steer.sae.model import Latents
    from whisper_steer.steer.silence import Silence


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
    silence: Silence
    """other latents, and the condition under which they are moved"""

    def to(self, device: torch.device) -> Edits:
        return Edits(**{name: value.to(device) for name, value in vars(self).items()})


METHODS: Registry[Edits] = Registry()


@METHODS.register("silence", (0.25, 0.5, 0.75, 1.0, 1.5, 2.0), "this project")
def silence(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = z + a d on frames where latents say that nobody speaks, see `whisper_steer.steer.silence`."""
    # Imported here because it imports torch, which listing the methods needs not.
    from whisper_steer.steer.silence import where_nobody_speaks

    return where_nobody_speaks(h, edits.silence, strength)


@METHODS.register("clamp", (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0), "this project")
def clamp(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = clamp value, the error-preserving clamp of this project; ``strength`` 1 clamps fully, 0 not at all."""
    z, scale = edits.latents.encode(h)
    return edits.latents.delta(strength * (edits.clamp_value - z), scale)


@METHODS.register("mean-difference", (0.125, 0.25, 0.5, 1.0, 2.0), "arXiv 2312.06681")
def mean_difference(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """h' = h + a (mean of silent non-speech - mean of speech), in activation space, without the SAE."""
    return (strength * edits.mean_difference).expand_as(h)
