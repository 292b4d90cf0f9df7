"""The gate: how much a place of a recording sounds like somebody speaking, from the encoder's activations there.

Its evidence is a logit for every step of 40 ms, two of the encoder's frames, whose activations it averages, centres and
brings to norm 1. Two kinds:

- `Linear`: a logistic regression on the activations ("dense") or on SAE latents of them ("sae");
- `Conv`: convolutions over time on a few learned directions, one that sees half a second and one that sees two. A bark
  of 0.2 s looks like a word; what lies around it does not.

Either takes the mean of 0.2 s: that long is the shortest word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from whisper_steer.sae.model import Latents, normalise

FRAMES_PER_STEP = 2
POOL_STEPS = 5
"""0.2 s"""
DILATION = 6
"""steps between the taps of the second convolution"""

SomeGate = TypeVar("SomeGate", bound="Gate")


@dataclass
class Gate:
    """What all kinds share."""

    mean: Tensor
    """(n_state,) centre of the activations"""
    weight: Tensor
    """(n_features,) of the logit"""
    bias: Tensor
    """scalar"""

    kind: ClassVar[str]

    def evidence(self, h: Tensor) -> Tensor:
        """Activations (batch, frames, n_state) -> logits (batch, frames / 2), float32."""
        return smooth(self.logits(steps_of(h)))

    def logits(self, h: Tensor) -> Tensor:
        """Steps (batch, steps, n_state) in float32 -> logits (batch, steps), before smoothing."""
        raise NotImplementedError

    def to(self: SomeGate, device: torch.device) -> SomeGate:
        """The same gate on a device."""
        if self.mean.device == device:
            return self
        moved: dict[str, Any] = {k: None if v is None else v.to(device) for k, v in vars(self).items()}
        return type(self)(**moved)


@dataclass
class Linear(Gate):
    """logits = features @ weight + bias."""

    latents: Latents | None = None
    """SAE latents that are the features; None: the normalised activations are"""

    kind: ClassVar[str] = "linear"

    def features(self, h: Tensor) -> Tensor:
        """Steps (..., n_state) -> (..., n_features)."""
        return normalise(h, self.mean)[0] if self.latents is None else self.latents.encode(h)[0]

    def logits(self, h: Tensor) -> Tensor:
        return self.features(h) @ self.weight + self.bias


@dataclass
class Conv(Gate):
    """logits = [near, far] @ weight + bias: n ReLU features of a short and as many of a wide convolution."""

    hidden_weight: Tensor
    """(n_state, n) of a ReLU layer on the normalised activations"""
    hidden_bias: Tensor
    """(n,)"""
    near_weight: Tensor
    """(n, n, taps) of a convolution over neighbouring steps"""
    near_bias: Tensor
    """(n,)"""
    far_weight: Tensor
    """(n, n, taps) of one over every sixth step, on what the first one made"""
    far_bias: Tensor
    """(n,)"""

    kind: ClassVar[str] = "conv"

    def logits(self, h: Tensor) -> Tensor:
        x = normalise(h, self.mean)[0]
        hidden = torch.relu(x @ self.hidden_weight + self.hidden_bias).transpose(1, 2)
        near = torch.relu(convolved(hidden, self.near_weight, self.near_bias))
        far = torch.relu(convolved(near, self.far_weight, self.far_bias, DILATION))
        return torch.cat([near, far], dim=1).transpose(1, 2) @ self.weight + self.bias


KINDS: dict[str, type[Gate]] = {kind.kind: kind for kind in (Linear, Conv)}


def steps_of(h: Tensor) -> Tensor:
    """Activations (batch, frames, n_state) -> the mean of every two frames, float32."""
    return h.float().unflatten(1, (-1, FRAMES_PER_STEP)).mean(dim=2)


def convolved(x: Tensor, weight: Tensor, bias: Tensor, dilation: int = 1) -> Tensor:
    """A convolution (batch, n, steps) -> (batch, m, steps) over time.

    As one of a single row in two dimensions: on a CPU a third faster than one in one dimension.
    """
    padding = (0, dilation * (weight.shape[-1] // 2))
    return F.conv2d(x[:, :, None], weight[:, :, None], bias, padding=padding, dilation=(1, dilation))[:, :, 0]


def smooth(logits: Tensor) -> Tensor:
    """The mean over the 0.2 s around each step, as far as they lie in the window: (batch, n) -> (batch, n)."""
    half = POOL_STEPS // 2
    return F.avg_pool1d(logits[:, None], POOL_STEPS, 1, half, count_include_pad=False)[:, 0]
