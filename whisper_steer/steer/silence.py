"""Silence only where latents say that nobody speaks: an edit that is conditional by construction.

On frames where latents of non-speech outweigh those of speech (`Condition`), a few other latents are moved towards
what makes the decoder end at once (`Silence`); every other frame stays bit for bit what it was. Both are
fitted by `whisper_steer.fit.silence`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from whisper_steer.sae.model import Latents

SMOOTH = 50
"""frames on either side over which the logits are averaged, 1 s"""


@dataclass
class Condition:
    """A logistic regression on m latents: where nobody speaks."""

    latents: Latents
    weight: Tensor
    """(m,)"""
    bias: Tensor
    """scalar"""
    threshold: Tensor
    """scalar: the averaged logit from which on a frame is edited"""

    def logits(self, h: Tensor) -> Tensor:
        """Activations (batch, frames, n_state) -> (batch, frames), averaged over two seconds."""
        z, _ = self.latents.encode(h)
        return smoothed(z @ self.weight + self.bias)

    def holds(self, h: Tensor) -> Tensor:
        """Where nobody speaks: (batch, frames) bool."""
        return self.logits(h) > self.threshold

    def to(self, device: torch.device) -> Condition:
        weight, bias, threshold = (each.to(device) for each in (self.weight, self.bias, self.threshold))
        return Condition(self.latents.to(device), weight, bias, threshold)


@dataclass
class Silence:
    """n latents and how far each is moved, in units of the SAE's unit-norm input."""

    latents: Latents
    change: Tensor
    """(n,)"""
    condition: Condition

    def to(self, device: torch.device) -> Silence:
        return Silence(self.latents.to(device), self.change.to(device), self.condition.to(device))


def smoothed(logits: Tensor) -> Tensor:
    """(batch, frames) -> means over `SMOOTH` frames on either side, as many as there are."""
    taps = logits.new_ones(1, 1, 2 * SMOOTH + 1)
    sums, counts = (
        F.conv1d(x[:, None], taps, padding=SMOOTH)[:, 0] for x in (logits, torch.ones_like(logits))
    )
    return sums / counts


def always(h: Tensor, silence: Silence, strength: float) -> Tensor:
    """z' = z + a d on every frame: what the condition keeps from happening to speech."""
    _, scale = silence.latents.encode(h)
    return silence.latents.delta((strength * silence.change).expand(*h.shape[:-1], -1), scale)


def where_nobody_speaks(h: Tensor, silence: Silence, strength: float) -> Tensor:
    """z' = z + a d on the frames where the condition holds; 0 elsewhere. ``h``: (batch, frames, n_state)."""
    return always(h, silence, strength) * silence.condition.holds(h)[..., None]
