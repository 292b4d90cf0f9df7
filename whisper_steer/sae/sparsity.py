"""What makes latents sparse: the kinds of SAE, on pre-activations (SAEs, frames, latents) of a whole stack."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

BANDWIDTH = 1e-3
"""of JumpReLU's estimator, for inputs of norm 1 (arXiv 2407.14435)"""


def batch_top_k(pre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Keep the k * batch largest of (batch, n_latents) (arXiv 2412.06410); also returns the smallest kept value."""
    kept = smallest_kept(pre, k)
    return pre * (pre >= kept), kept


def smallest_kept(pre: Tensor, k: int) -> Tensor:
    """The smallest of the k * batch largest of (batch, n_latents): a scalar without gradient."""
    return pre.detach().flatten().topk(min(k, pre.shape[-1]) * len(pre), sorted=False).values.min()


def top_k(pre: Tensor, k: int) -> Tensor:
    """Keep the k largest of each frame of (..., n_latents) (arXiv 2406.04093)."""
    largest = pre.topk(min(k, pre.shape[-1]), dim=-1)
    return torch.zeros_like(pre).scatter(-1, largest.indices, largest.values)


class _Jump(torch.autograd.Function):
    """JumpReLU: pre where it passes the threshold. The threshold's gradient is estimated by a rectangle of
    `BANDWIDTH` around it (arXiv 2407.14435, equation 11)."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        pre, threshold = ctx.saved_tensors
        (gradient,) = gradients
        estimate = -threshold / BANDWIDTH * _near(pre, threshold) * gradient
        return gradient * (pre > threshold), estimate.sum(dim=-2, keepdim=True)


class _Step(torch.autograd.Function):
    """1 where pre passes the threshold; only the threshold has a gradient (arXiv 2407.14435, equation 12)."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        pre, threshold = ctx.saved_tensors
        (gradient,) = gradients
        return None, (-1 / BANDWIDTH * _near(pre, threshold) * gradient).sum(dim=-2, keepdim=True)


def _near(pre: Tensor, threshold: Tensor) -> Tensor:
    return (pre - threshold).abs() < BANDWIDTH / 2


def jump(pre: Tensor, threshold: Tensor) -> Tensor:
    """JumpReLU of (SAEs, frames, latents) with thresholds (SAEs, 1, latents), which have a gradient."""
    return _Jump.apply(pre, threshold)  # type: ignore[no-untyped-call]


def active(pre: Tensor, threshold: Tensor) -> Tensor:
    """Latents per frame, (SAEs,), with a gradient to the thresholds (SAEs, 1, latents) alone."""
    counted: Tensor = _Step.apply(pre, threshold)  # type: ignore[no-untyped-call]
    return counted.sum(dim=-1).mean(dim=-1)
