"""The sparse autoencoder that turns a frame's activations into latents, one decoder direction each.

Input is centred and scaled, ``x = (h - mean) / scale``: by each frame's own norm, or by one number for all of them.
Of the ReLU's output a latent is kept

- where it passes a threshold: one for all latents, which is how a Batch-Top-K SAE (Bussmann et al., arXiv 2412.06410)
  runs after training, or one for each, a JumpReLU (Rajamanoharan et al., arXiv 2407.14435); threshold 0 is the plain
  ReLU. Every latent stands alone, so the few that steering needs are computed without the others;
- or where it is among the k largest of its frame (Gao et al., arXiv 2406.04093).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from whisper_steer.errors import UsageError

Activation = Literal["threshold", "topk"]


@dataclass(frozen=True)
class SAEConfig:
    """Shape and sparsity of an SAE."""

    n_state: int
    """width of the activations"""
    expansion: float = 8
    """latents per dimension of the activations"""
    k: int = 32
    """latents that are active in a frame, on average over a batch where ``activation`` is not topk; 0: nobody said"""
    activation: Activation = "threshold"
    """what keeps a latent at inference: that it passes the threshold, or that it is among the k largest of its frame"""
    frame_norm: float | None = None
    """what centred frames are divided by: None for each frame's own norm, 1 for nothing"""

    @property
    def n_latents(self) -> int:
        return round(self.n_state * self.expansion)


class SAE(nn.Module):
    """An SAE; those trained here have decoder rows of norm 1.

    Parameters: ``W_enc`` (n_state, n_latents), ``b_enc`` (n_latents), ``W_dec`` (n_latents, n_state), ``b_dec``
    (n_state). Buffers: ``mean`` (n_state) of the training activations and ``threshold``, scalar or (n_latents).
    """

    mean: Tensor
    threshold: Tensor
    about: dict[str, Any]
    """what its file says of it beside its weights, ``hook_point`` and ``model`` among it where they are known"""

    def __init__(self, config: SAEConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.about = {}
        directions = torch.randn(config.n_latents, config.n_state, generator=generator)
        directions /= directions.norm(dim=1, keepdim=True)
        self.W_dec = nn.Parameter(directions)
        self.W_enc = nn.Parameter(directions.T.clone())
        self.b_enc = nn.Parameter(torch.zeros(config.n_latents))
        self.b_dec = nn.Parameter(torch.zeros(config.n_state))
        self.register_buffer("mean", torch.zeros(config.n_state))
        self.register_buffer("threshold", torch.zeros(()))

    @classmethod
    def of(
        cls,
        state: Mapping[str, Tensor],
        k: int,
        activation: Activation = "threshold",
        frame_norm: float | None = None,
    ) -> SAE:
        """One for use from its parameters and buffers, of any float type.

        Raises `KeyError`, `ValueError` or `RuntimeError` where they are not those of an SAE.
        """
        n_state, n_latents = state["W_enc"].shape
        expansion = n_latents / n_state if n_latents % n_state else n_latents // n_state
        sae = cls(SAEConfig(n_state, expansion, k, activation, frame_norm))
        threshold = state["threshold"]
        if threshold.shape not in ((), (n_latents,)):
            raise ValueError(f"thresholds of shape {tuple(threshold.shape)} for {n_latents} latents")
        sae.threshold = torch.zeros(threshold.shape)
        sae.load_state_dict({name: value.float() for name, value in state.items()})
        return sae.requires_grad_(False).eval()

    def normalise(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Activations (..., n_state) -> input (..., n_state) and its scale (..., 1)."""
        return normalise(h, self.mean, self.config.frame_norm)

    def pre_activations(self, x: Tensor) -> Tensor:
        """ReLU before any sparsity: (..., n_state) -> (..., n_latents)."""
        return torch.relu((x - self.b_dec) @ self.W_enc + self.b_enc)

    def encode(self, h: Tensor) -> Tensor:
        """Latents (..., n_latents) of activations (..., n_state), as at inference."""
        z = self.pre_activations(self.normalise(h)[0])
        if self.config.activation == "topk":
            kept = z.topk(min(self.config.k, z.shape[-1]), dim=-1, sorted=False)
            return torch.zeros_like(z).scatter(-1, kept.indices, kept.values)
        return z * (z > self.threshold)

    def decode(self, z: Tensor) -> Tensor:
        """Latents (..., n_latents) -> reconstructed input (..., n_state)."""
        return z @ self.W_dec + self.b_dec

    def reconstruct(self, h: Tensor) -> Tensor:
        """The round trip h -> z -> h, in the units of h. Steering never writes this back; it is for measuring."""
        _, scale = self.normalise(h)
        return self.decode(self.encode(h)) * scale + self.mean

    def latents(self, indices: Tensor) -> Latents:
        """The chosen latents alone. ``indices``: (n,) int64. Raises `UsageError` where latents do not stand alone."""
        if self.config.activation == "topk":
            raise UsageError(
                f"this SAE keeps the {self.config.k} largest latents of a frame, which needs all of them: give it one "
                "threshold with whisper_steer.sae.calibrate.calibrated(sae, frames) or sae convert --calibrate-on"
            )
        norm = self.config.frame_norm
        with torch.no_grad():
            weight = self.W_enc[:, indices].clone()
            folded = self.b_enc[indices].double() - self.b_dec.double() @ weight.double()
            threshold = self.threshold[indices] if self.threshold.dim() else self.threshold
            return Latents(
                mean=self.mean.clone(),
                weight=weight,
                bias=folded.to(weight.dtype),
                threshold=threshold.clone(),
                directions=self.W_dec[indices].clone(),
                frame_norm=None if norm is None else self.mean.new_tensor(norm),
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
    """scalar or (n,): smaller activations are 0"""
    directions: Tensor
    """(n, n_state) decoder directions"""
    frame_norm: Tensor | None = None
    """scalar that centred frames are divided by; None: each frame's own norm"""

    def encode(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Activations (..., n_state) -> latents (..., n) and the scale of their frames (..., 1), in float32."""
        x, scale = normalise(h.float(), self.mean, self.frame_norm)
        z = torch.relu(x @ self.weight + self.bias)
        return z * (z > self.threshold), scale

    def delta(self, change: Tensor, scale: Tensor) -> Tensor:
        """What a change of the latents (..., n) adds to the activations: (..., n_state)."""
        return (change * scale) @ self.directions

    def tensors(self) -> dict[str, Tensor]:
        """All that there are, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def to(self, device: torch.device) -> Latents:
        return Latents(**{name: tensor.to(device) for name, tensor in self.tensors().items()})


def normalise(h: Tensor, mean: Tensor, frame_norm: float | Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Centre on ``mean`` and divide each frame by its norm, or by ``frame_norm``; returns that and the divisor
    (..., 1)."""
    centred = h - mean
    if frame_norm is None:
        scale = centred.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    else:
        scale = torch.as_tensor(frame_norm, dtype=centred.dtype, device=centred.device)
        scale = scale.expand(*centred.shape[:-1], 1)
    return centred / scale, scale
