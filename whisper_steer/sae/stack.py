"""SAEs trained at once, as one stack of matrices: what keeps a GPU busy with small ones.

A stack holds an SAE for each hook point, and behind them controls (`whisper_steer.sae.controls`) of some of the points.
All see the same frames in the same order. Loss: the squared error of the unit-norm input; for the Top-K kinds also what
dead latents make of the rest (arXiv 2406.04093), for JumpReLU ``(active / k - 1)^2`` (arXiv 2407.14435, which offers it
to aim at a number of latents), for ReLU the L1 norm, its weight moved until k latents are active: that is ours.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from whisper_steer.sae import sparsity
from whisper_steer.sae.controls import coloured, turn_back
from whisper_steer.sae.model import SAE, Activation, normalise
from whisper_steer.sae.plan import TOP_K, Plan

AUX_FRAMES, AUX_WEIGHT = 256, 1 / 32
"""of a batch, on which dead latents, half as many as the activations have dimensions, explain the rest"""
MOMENTUM = 0.99
"""of Batch-Top-K's threshold for inference, the running mean of the smallest value kept behind the warm-up"""
FIRST_THRESHOLD = 1e-3
"""of JumpReLU (arXiv 2407.14435)"""
FIRST_L1, L1_RATE = 0.01, 0.03
CHUNK = 4096
WEIGHTS = ("W_enc", "W_dec", "b_enc", "b_dec")


@dataclass(frozen=True)
class Member:
    """One SAE of a stack."""

    point: str
    control: str | None = None
    """one of `whisper_steer.sae.plan.CONTROLS`"""

    @property
    def name(self) -> str:
        """Of its file."""
        return self.point if self.control is None else f"{self.control}-{self.point}"


class Stack:
    """SAEs in training, on one device.

    ``members``: the SAEs, at hook points out of ``points``. ``sample``: (points, frames, n_state) activations, for
    their means and, where a control needs it, their covariances.
    """

    def __init__(self, plan: Plan, points: Sequence[str], members: Sequence[Member], sample: Tensor) -> None:
        self.plan, self.members = plan, list(members)
        device, d = sample.device, sample.shape[-1]
        n = d * plan.expansion
        self.sources = torch.tensor([points.index(each.point) for each in members], device=device)
        self.mean = sample.float().mean(dim=1)[self.sources][:, None]
        starts: list[Tensor] = []
        for member in members:
            drawn = _draws(plan.seed, member.point, n, d).to(device)
            if member.control == "frozen-decoder":
                x = normalise(sample[points.index(member.point)].float(), self.mean[len(starts)])[0]
                drawn = coloured(drawn, x)
            starts.append(drawn / drawn.norm(dim=-1, keepdim=True))
        self.start = torch.stack(starts)
        q = len(starts)
        self.W_dec = self.start.clone().requires_grad_()
        self.W_enc = self.start.transpose(1, 2).clone().requires_grad_()
        self.b_enc = torch.zeros(q, 1, n, device=device, requires_grad=True)
        self.b_dec = torch.zeros(q, 1, d, device=device, requires_grad=True)
        trained = [getattr(self, name) for name in WEIGHTS]
        if plan.kind == "jumprelu":
            self.threshold = torch.full((q, 1, n), FIRST_THRESHOLD, device=device, requires_grad=True)
            trained.append(self.threshold)
        else:
            self.threshold = torch.zeros(q, 1, 1, device=device)
        self.l1 = torch.full((q,), FIRST_L1, device=device)
        self.idle = torch.zeros(q, n, device=device)
        """steps since each latent was active"""
        self.optimiser = torch.optim.Adam(trained, plan.learning_rate, fused=sample.is_cuda)
        controls = [each.control for each in members]
        self._held = {c: [i for i, each in enumerate(controls) if each == c] for c in set(controls) if c}

    def learn(self, h: Tensor, step: int) -> None:
        """One step on activations (points, batch, n_state) float32."""
        plan = self.plan
        for group in self.optimiser.param_groups:
            group["lr"] = plan.rate_at(step)
        x = normalise(h[self.sources], self.mean)[0]
        half = torch.autocast(h.device.type, torch.bfloat16, enabled=plan.half)
        with half:
            pre = torch.baddbmm(self.b_enc, x - self.b_dec, self.W_enc).float().relu()
        z, penalty, kept = self._sparse(pre, step)
        with half:
            error = x - torch.baddbmm(self.b_dec, z, self.W_dec)
        loss = (error.float().pow(2).sum(dim=-1).mean(dim=1) + penalty).sum()
        if plan.kind in TOP_K and step > plan.dead_after:
            with half:
                loss = loss + AUX_WEIGHT * self._unexplained_by_dead(pre, error.detach())
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._keep_unit_norm_gradient()
        self.optimiser.step()
        with torch.no_grad():
            self.W_dec /= self.W_dec.norm(dim=-1, keepdim=True)
            self._hold_controls()
            if kept is not None:
                warm = plan.sparsity_at(step) < 1
                self.threshold.lerp_(kept[:, None, None], 1.0 if warm else 1 - MOMENTUM)
            if plan.kind == "jumprelu":
                self.threshold.clamp_(min=0)
            self.idle += 1
            self.idle[(z > 0).any(dim=1)] = 0

    def _sparse(self, pre: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Latents (q, batch, n_latents) of what ReLU leaves, a penalty (q,), and the smallest values kept (q,)."""
        plan, none = self.plan, pre.new_zeros(len(pre))
        k, share = plan.k_at(step, self.W_dec.shape[-1]), plan.sparsity_at(step)
        if plan.kind == "topk":
            return sparsity.top_k(pre, k), none, None
        if plan.kind == "batch-topk":
            n = max(1, round(pre.shape[1] * plan.threshold_from))
            kept = torch.stack([sparsity.smallest_kept(each[:n], k) for each in pre])
            return pre * (pre >= kept[:, None, None]), none, kept
        if plan.kind == "jumprelu":
            off = sparsity.active(pre, self.threshold) / plan.k - 1
            return sparsity.jump(pre, self.threshold), share * off.pow(2), None
        off = (pre.detach() > 0).float().sum(dim=-1).mean(dim=1) / plan.k - 1
        if share == 1:
            self.l1 *= torch.exp(L1_RATE * off.clamp(-1, 1))
        return pre, share * self.l1 * pre.sum(dim=-1).mean(dim=1), None

    def _unexplained_by_dead(self, pre: Tensor, error: Tensor) -> Tensor:
        pre, error, dead = pre[:, :AUX_FRAMES], error[:, :AUX_FRAMES], self.idle > self.plan.dead_after
        z = sparsity.top_k(torch.where(dead[:, None], pre, 0.0), self.W_dec.shape[-1] // 2)
        left = (error - torch.bmm(z, self.W_dec)).float().pow(2).sum(dim=-1).mean(dim=1)
        return (left * dead.any(dim=1)).sum()

    def _keep_unit_norm_gradient(self) -> None:
        """Take from the gradient of each decoder direction the part along it, which only changes its norm."""
        gradient, directions = self.W_dec.grad, self.W_dec.detach()
        assert gradient is not None
        gradient -= (gradient * directions).sum(dim=-1, keepdim=True) * directions

    def _hold_controls(self) -> None:
        for control, rows in self._held.items():
            start = self.start[rows]
            if control == "soft-frozen":
                self.W_dec[rows] = turn_back(self.W_dec[rows], start)
            elif control == "frozen-decoder":
                self.W_dec[rows] = start
            else:
                self.W_enc[rows], self.b_enc[rows] = start.transpose(1, 2), 0.0

    @torch.no_grad()
    def latents(self, h: Tensor, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """As at inference, of activations (frames, n_state) at one SAE's point: latents (frames, n_latents), and the
        input and its reconstruction (frames, n_state), both of the scale of the unit-norm input."""
        x = normalise(h, self.mean[index])[0]
        pre = torch.addmm(self.b_enc[index], x - self.b_dec[index], self.W_enc[index]).relu()
        z = (
            sparsity.top_k(pre, self.plan.k)
            if self.plan.kind == "topk"
            else pre * (pre > self.threshold[index])
        )
        return z, x, torch.addmm(self.b_dec[index], z, self.W_dec[index])

    @torch.no_grad()
    def reconstruct(self, h: Tensor, index: int) -> Tensor:
        """The round trip of activations (frames, n_state) through one SAE, in their own units."""
        _, scale = normalise(h, self.mean[index])
        return self.latents(h, index)[2] * scale + self.mean[index]

    def tensors(self, index: int) -> dict[str, Tensor]:
        """What `SAE.of` takes of one of them. JumpReLU has a threshold for each latent."""
        names = (*WEIGHTS, "mean", "threshold")
        return {name: getattr(self, name)[index].detach().squeeze().cpu().contiguous() for name in names}

    def sae(self, index: int) -> SAE:
        """One of them, for use."""
        activation: Activation = "topk" if self.plan.kind == "topk" else "threshold"
        return SAE.of(self.tensors(index), self.plan.k, activation)

    def state(self) -> dict[str, Tensor]:
        """All that a later `restore` needs to go on as if nothing had happened."""
        names = (*WEIGHTS, "threshold", "idle", "start", "mean", "l1")
        adam = self.optimiser.state_dict()["state"]
        found = {f"adam.{n}.{key}": value for n, state in adam.items() for key, value in state.items()}
        return found | {name: getattr(self, name).detach() for name in names}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take what `state` gave."""
        adam: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            if name.startswith("adam."):
                _, number, key = name.split(".")
                adam.setdefault(int(number), {})[key] = tensor
            else:
                getattr(self, name).copy_(tensor)
        self.optimiser.load_state_dict(
            {"state": adam, "param_groups": self.optimiser.state_dict()["param_groups"]}
        )


def _draws(seed: int, point: str, n: int, d: int) -> Tensor:
    """Standard normal (n, d): the same for a seed and a hook point, whatever else is trained beside."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}:{point}".encode()))
    return torch.randn(n, d, generator=generator)


__all__ = ["CHUNK", "WEIGHTS", "Member", "Stack"]
