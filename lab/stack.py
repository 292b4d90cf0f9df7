"""SAEs of several hook points trained at once, as one stack of matrices: what keeps a GPU busy with small ones.

Each is a Batch-Top-K SAE as `whisper_steer.sae.train` trains it, on a schedule for longer training. Behind them may
stand Soft-Frozen controls (arXiv 2602.14111): the same data, order and settings, but decoder directions that stay
within a cosine of 0.8 of the random ones they started from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from whisper_steer.eval.soft_frozen import turn_back
from whisper_steer.sae.model import SAE, normalise
from whisper_steer.sae.train import adam_tensors, batch_top_k, keep_unit_norm_gradient, load_adam

WARM_UP = 300
"""steps"""
COOL_DOWN = 0.25
"""share of the steps over which the learning rate falls to 0"""
AUX_LATENTS, AUX_FRAMES, AUX_WEIGHT = 64, 256, 1 / 16
"""dead latents that explain what the live ones leave of a frame (arXiv 2406.04093), in every second step"""
DEAD_AFTER = 400
"""steps without an activation after which a latent counts as dead"""
MOMENTUM = 0.99
"""of the inference threshold"""
NAMES = ("W_enc", "W_dec", "b_enc", "b_dec")


@dataclass(frozen=True)
class Plan:
    """How to train. ``threshold_from``: share of a batch from which Batch-Top-K's threshold is taken."""

    steps: int
    batch: int = 2500
    k: int = 50
    expansion: int = 8
    learning_rate: float = 6e-4
    threshold_from: float = 1.0
    seed: int = 0


class Stack:
    """SAEs in training, the last ``n_frozen`` of them controls.

    ``mean``: (q, n_state) of each one's activations, on the device to train on.
    """

    def __init__(self, plan: Plan, mean: Tensor, n_frozen: int) -> None:
        self.plan, self.n_frozen = plan, n_frozen
        self.mean = mean[:, None]
        (q, d), n = mean.shape, mean.shape[1] * plan.expansion
        generator = torch.Generator().manual_seed(plan.seed)
        start = torch.randn(q, n, d, generator=generator).to(mean.device)
        self.start = start / start.norm(dim=-1, keepdim=True)
        self.W_dec = self.start.clone().requires_grad_()
        self.W_enc = self.start.transpose(1, 2).clone().requires_grad_()
        self.b_enc = torch.zeros(q, 1, n, device=mean.device, requires_grad=True)
        self.b_dec = torch.zeros(q, 1, d, device=mean.device, requires_grad=True)
        self.threshold = torch.zeros(q, device=mean.device)
        self.idle = torch.zeros(q, n, device=mean.device)
        """steps since each latent was active"""
        self.optimiser = torch.optim.Adam(
            [getattr(self, name) for name in NAMES], plan.learning_rate, fused=mean.is_cuda
        )

    def learn(self, h: Tensor, step: int) -> None:
        """One step on activations (q, batch, n_state)."""
        plan = self.plan
        for group in self.optimiser.param_groups:
            group["lr"] = plan.learning_rate * schedule(step, plan.steps)
        x = normalise(h, self.mean)[0]
        pre = torch.relu(torch.baddbmm(self.b_enc, x - self.b_dec, self.W_enc))
        kept = self._smallest_kept(pre.detach())
        z = pre * (pre >= kept[:, None, None])
        error = x - torch.baddbmm(self.b_dec, z, self.W_dec)
        loss = error.pow(2).sum(dim=-1).mean(dim=1).sum()
        if step % 2 == 0 and step > DEAD_AFTER:
            loss = loss + AUX_WEIGHT * self._unexplained_by_dead(pre, error.detach())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        keep_unit_norm_gradient(self.W_dec)
        self.optimiser.step()
        with torch.no_grad():
            self.W_dec /= self.W_dec.norm(dim=-1, keepdim=True)
            if self.n_frozen:
                controls = slice(-self.n_frozen, None)
                self.W_dec[controls] = turn_back(self.W_dec[controls], self.start[controls])
            self.threshold = torch.lerp(kept, self.threshold, MOMENTUM if step else 0.0)
            self.idle += 1
            self.idle[(z > 0).any(dim=1)] = 0

    def _smallest_kept(self, pre: Tensor) -> Tensor:
        """(q,) the smallest pre-activation (q, batch, n_latents) that Batch-Top-K keeps in each SAE."""
        n = max(1, round(pre.shape[1] * self.plan.threshold_from))
        return torch.stack([batch_top_k(each[:n], self.plan.k)[1] for each in pre])

    def _unexplained_by_dead(self, pre: Tensor, error: Tensor) -> Tensor:
        pre, error, dead = pre[:, :AUX_FRAMES], error[:, :AUX_FRAMES], self.idle > DEAD_AFTER
        revived = torch.where(dead[:, None], pre, 0.0).topk(min(AUX_LATENTS, pre.shape[-1]), dim=-1)
        z = torch.zeros_like(pre).scatter(-1, revived.indices, revived.values)
        left = (error - torch.bmm(z, self.W_dec)).pow(2).sum(dim=-1).mean(dim=1)
        return (left * dead.any(dim=1)).sum()

    @torch.no_grad()
    def sae(self, index: int) -> SAE:
        """One of them, for use."""
        state = {name: getattr(self, name)[index].squeeze(0) for name in (*NAMES, "mean", "threshold")}
        return SAE.of(state, self.plan.k).to(self.mean.device)

    def state(self) -> dict[str, Tensor]:
        """All that a later `restore` needs to go on as if nothing had happened."""
        found = {
            name: getattr(self, name).detach() for name in (*NAMES, "threshold", "idle", "start", "mean")
        }
        return found | adam_tensors(self.optimiser)

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take what `state` gave."""
        for name, tensor in state.items():
            if not name.startswith("adam."):
                getattr(self, name).copy_(tensor)
        load_adam(self.optimiser, state)


def schedule(step: int, steps: int) -> float:
    """The share of the highest learning rate: up over `WARM_UP`, down to 0 over `COOL_DOWN`."""
    return min(1.0, (step + 1) / WARM_UP, max(1e-3, (steps - step) / (COOL_DOWN * steps)))


__all__ = ["NAMES", "Plan", "Stack", "schedule"]
