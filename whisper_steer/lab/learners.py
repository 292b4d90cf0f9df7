"""SAEs of every kind, and controls, trained on a stream of batches: what the set of known features is learned by.

Controls differ from what they control in nothing but what is held fast (arXiv 2602.14111): the same draws at the
start, data in the same order, schedule and auxiliary loss.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from tqdm import tqdm

from whisper_steer.sae.controls import coloured, turn_back
from whisper_steer.sae.sparsity import top_k

Kind = Literal["batch-topk", "topk", "relu", "jumprelu"]
Control = Literal["trained", "soft-frozen decoder", "frozen decoder", "frozen encoder"]
DEAD_AFTER = 200
"""steps without an activation after which a latent counts as dead"""
AUX_LATENTS, AUX_FRAMES, AUX_WEIGHT = 64, 64, 1 / 32
"""dead latents that explain what the live ones leave (arXiv 2406.04093), of the kinds that keep the k largest"""
CORRECTION = 0.02
"""by what power of (active / wanted) ReLU's penalty changes in a step"""
COVARIANCE_ROWS = 10_000
"""from which the frozen decoder's covariance is taken"""
BANDWIDTH = 0.05
"""of JumpReLU's gradient for its thresholds (arXiv 2407.14435)"""


@dataclass(frozen=True)
class Plan:
    """How to train; ``k``: latents per row, on average but for TopK, where it is exact."""

    steps: int
    batch: int = 256
    k: int = 20
    latents: int = 3200
    learning_rate: float = 1e-3
    seed: int = 0


@dataclass
class Learned:
    """A dictionary with its encoder."""

    kind: Kind
    k: int
    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    """(latents, n), norm 1"""
    b_dec: Tensor
    threshold: Tensor
    """scalar of Batch-Top-K, (latents,) of JumpReLU, else 0"""

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """(rows, n) -> (rows, latents)"""
        pre = torch.relu((x - self.b_dec) @ self.W_enc + self.b_enc)
        return top_k(pre, self.k) if self.kind == "topk" else pre * (pre > self.threshold)

    @torch.no_grad()
    def decode(self, z: Tensor) -> Tensor:
        return z @ self.W_dec + self.b_dec


def learn(kind: Kind, control: Control, batch: Callable[[int], Tensor], plan: Plan) -> Learned:
    """Train on ``batch(step)``: (plan.batch, n) float32, for each of the steps in turn.

    ReLU's penalty on the sum of the latents is steered so that ``k`` are active on average; JumpReLU's is the square
    of (active / k - 1), through the straight-through gradient of arXiv 2407.14435.
    """
    first = batch(0)
    device, n = first.device, first.shape[1]
    generator = torch.Generator().manual_seed(plan.seed)
    start = torch.randn(plan.latents, n, generator=generator).to(device)
    if control == "frozen decoder":  # drawn from the covariance of the data
        many = torch.cat([batch(step) for step in range(1 + COVARIANCE_ROWS // plan.batch)])
        start = coloured(start, many)
    start = start / start.norm(dim=1, keepdim=True)
    W_dec, W_enc = start.clone(), start.T.clone()
    b_enc, b_dec = torch.zeros(plan.latents, device=device), first.mean(dim=0)
    log_threshold = torch.full((plan.latents,), 0.1, device=device).log()
    trained = [b_enc, b_dec]
    trained += [] if control == "frozen decoder" else [W_dec]
    trained += [] if control == "frozen encoder" else [W_enc]
    trained += [log_threshold] if kind == "jumprelu" else []
    for each in trained:
        each.requires_grad_()
    optimiser = torch.optim.Adam(trained, plan.learning_rate)
    idle, threshold, penalty = torch.zeros(plan.latents, device=device), torch.zeros((), device=device), 0.1
    for step in tqdm(range(plan.steps), desc=f"{kind}, {control}", unit="step"):
        optimiser.param_groups[0]["lr"] = plan.learning_rate * schedule(step, plan.steps)
        x = batch(step)
        pre = torch.relu((x - b_dec) @ W_enc + b_enc)
        extra: Tensor | float = 0.0
        if kind == "batch-topk":
            kept = smallest_kept(pre.detach(), plan.k, threshold)
            z = pre * (pre >= kept)
            threshold = torch.lerp(kept, threshold, 0.99 if step else 0.0)
        elif kind == "topk":
            z = top_k(pre, plan.k)
        elif kind == "relu":
            z = pre
            active = float((z.detach() > 0).float().sum(dim=1).mean())
            extra = penalty * z.sum(dim=1).mean()
            penalty *= (max(active, 1.0) / plan.k) ** CORRECTION
        else:
            z, gate = _Jump.apply(pre, log_threshold.exp())  # type: ignore[no-untyped-call]
            extra = (gate.sum(dim=1).mean() / plan.k - 1).square()
        error = x - (z @ W_dec + b_dec)
        loss = error.square().sum(dim=1).mean() + extra
        dead = idle > DEAD_AFTER
        if kind in ("batch-topk", "topk") and bool(dead.any()):
            loss = loss + AUX_WEIGHT * _left(pre, error, dead, W_dec)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if W_dec.grad is not None:
            # The part along a direction would only change its length, which is set to 1 behind the step.
            W_dec.grad -= (W_dec.grad * W_dec.detach()).sum(dim=1, keepdim=True) * W_dec.detach()
        optimiser.step()
        with torch.no_grad():
            if control != "frozen decoder":
                W_dec /= W_dec.norm(dim=1, keepdim=True)
            if control == "soft-frozen decoder":
                W_dec.copy_(turn_back(W_dec, start))
            idle += 1
            idle[(z > 0).any(dim=0)] = 0
    threshold = log_threshold.exp() if kind == "jumprelu" else threshold
    tensors = [each.detach() for each in (W_enc, b_enc, W_dec, b_dec, threshold)]
    return Learned(kind, plan.k, *tensors)


def smallest_kept(pre: Tensor, k: int, threshold: Tensor) -> Tensor:
    """The smallest value that Batch-Top-K keeps of (rows, latents). Near that of the batches before, ``threshold``,
    it is sought among a hundredth of all values, which takes a fraction of the time."""
    n = k * len(pre)
    candidates = pre[pre > 0.8 * threshold]
    values = candidates if len(candidates) >= n else pre.flatten()
    return values.topk(n, sorted=False).values.min()


def schedule(step: int, steps: int) -> float:
    """The share of the highest learning rate: up over a twentieth, down to 0 over the last fifth."""
    return min(1.0, (step + 1) / (0.05 * steps), (steps - step) / (0.2 * steps))


def _left(pre: Tensor, error: Tensor, dead: Tensor, W_dec: Tensor) -> Tensor:
    """What dead latents leave of the error of some rows."""
    pre, error = pre[:AUX_FRAMES], error[:AUX_FRAMES].detach()
    z = top_k(torch.where(dead, pre, 0.0), min(AUX_LATENTS, pre.shape[1]))
    return (error - z @ W_dec).square().sum(dim=1).mean()


class _Jump(torch.autograd.Function):
    """Pre-activations above their threshold, and which they are; gradients as in arXiv 2407.14435, equations 11-12."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, pre: Tensor, threshold: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(pre, threshold)
        gate = (pre > threshold).to(pre.dtype)
        return pre * gate, gate

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, of_z: Tensor, of_gate: Tensor
    ) -> tuple[Tensor, Tensor]:
        pre, threshold = ctx.saved_tensors  # type: ignore[attr-defined]
        near = ((pre - threshold).abs() < BANDWIDTH / 2).to(pre.dtype) / BANDWIDTH
        return of_z * (pre > threshold), -(near * (threshold * of_z + of_gate)).sum(dim=0)


__all__ = ["Control", "Kind", "Learned", "Plan", "learn"]
