"""The sparse autoencoder that turns a frame's activations into latents, one decoder direction each.

A Batch-Top-K SAE (Bussmann et al., arXiv 2412.06410): in training the ``k * batch`` largest pre-activations of a
batch survive; at inference a latent is kept where it passes one learned threshold, which makes it a JumpReLU in
which every latent stands alone. So the few latents that steering needs are computed without the others.

Input is centred and brought to unit norm, frame by frame: ``x = (h - mean) / |h - mean|``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SAEConfig:
    """Shape and sparsity of an SAE."""

    n_state: int
    """width of the activations"""
    expansion: int = 8
    """latents per dimension of the activations"""
    k: int = 32
    """latents that are active in a frame, on average over a batch"""

    @property
    def n_latents(self) -> int:
        return self.n_state * self.expansion


class SAE(nn.Module):
    """Batch-Top-K SAE with decoder rows of norm 1.

    Parameters: ``W_enc`` (n_state, n_latents), ``b_enc`` (n_latents), ``W_dec`` (n_latents, n_state), ``b_dec``
    (n_state). Buffers: ``mean`` (n_state) of the training activations and the scalar ``threshold``.
    """

    mean: Tensor
    threshold: Tensor

    def __init__(self, config: SAEConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        directions = torch.randn(config.n_latents, config.n_state, generator=generator)
        directions /= directions.norm(dim=1, keepdim=True)
        self.W_dec = nn.Parameter(directions)
        self.W_enc = nn.Parameter(directions.T.clone())
        self.b_enc = nn.Parameter(torch.zeros(config.n_latents))
        self.b_dec = nn.Parameter(torch.zeros(config.n_state))
        self.register_buffer("mean", torch.zeros(config.n_state))
        self.register_buffer("threshold", torch.zeros(()))

    @classmethod
    def of(cls, state: Mapping[str, Tensor], k: int) -> SAE:
        """One for use from its parameters and buffers, of any float type. Raises `KeyError` or `RuntimeError` where
        they are not those of an SAE."""
        n_state, n_latents = state["W_enc"].shape
        sae = cls(SAEConfig(n_state, n_latents // n_state, k))
        sae.load_state_dict({name: value.float() for name, value in state.items()})
        return sae.requires_grad_(False).eval()

    def normalise(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Activations (..., n_state) -> unit-norm input (..., n_state) and its scale (..., 1)."""
        return normalise(h, self.mean)

    def pre_activations(self, x: Tensor) -> Tensor:
        """ReLU before any sparsity: (..., n_state) -> (..., n_latents)."""
        return torch.relu((x - self.b_dec) @ self.W_enc + self.b_enc)

    def encode(self, h: Tensor) -> Tensor:
        """Latents (..., n_latents) of activations (..., n_state), by the learned threshold."""
        z = self.pre_activations(self.normalise(h)[0])
        return z * (z > self.threshold)

    def decode(self, z: Tensor) -> Tensor:
        """Latents (..., n_latents) -> reconstructed unit-norm input (..., n_state)."""
        return z @ self.W_dec + self.b_dec

    def reconstruct(self, h: Tensor) -> Tensor:
        """The round trip h -> z -> h, in the units of h. Steering never writes this back; it is for measuring."""
        _, scale = self.normalise(h)
        return self.decode(self.encode(h)) * scale + self.mean

    def latents(self, indices: Tensor) -> Latents:
        """The chosen latents alone. ``indices``: (n,) int64."""
        with torch.no_grad():
            return Latents(
                mean=self.mean.clone(),
                weight=self.W_enc[:, indices].clone(),
                bias=(self.b_enc - self.b_dec @ self.W_enc)[indices].clone(),
                threshold=self.threshold.clone(),
                directions=self.W_dec[indices].clone(),
            )


@dataclass
class Latents:
    """A few latents of an SAE, with all that is needed to compute them and to write their change back."""

    mean: Tensor
    """(n_state,)"""
    weight: Tensor
    """(n_state, n) encoder columns"""
    bias: Tensor
    """(n,) encoder biases, the decoder bias folded in"""
    threshold: Tensor
    """scalar: smaller activations are 0"""
    directions: Tensor
    """(n, n_state) decoder directions of norm 1"""

    def encode(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Activations (..., n_state) -> latents (..., n) and the scale of their frames (..., 1), in float32."""
        x, scale = normalise(h.float(), self.mean)
        z = torch.relu(x @ self.weight + self.bias)
        return z * (z > self.threshold), scale

    def delta(self, change: Tensor, scale: Tensor) -> Tensor:
        """What a change of the latents (..., n) adds to the activations: (..., n_state)."""
        return (change * scale) @ self.directions

    def to(self, device: torch.device) -> Latents:
        return Latents(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def normalise(h: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Centre on ``mean`` and bring each frame to norm 1; returns that and the norm (..., 1)."""
    centred = h - mean
    scale = centred.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    return centred / scale, scale
