"""If these fail, SAEs trained at once are not those trained one by one, or controls are no controls."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from whisper_steer.sae.controls import COSINE, coloured
from whisper_steer.sae.model import SAE, SAEConfig
from whisper_steer.sae.plan import CONTROLS, KINDS, Plan
from whisper_steer.sae.sparsity import batch_top_k
from whisper_steer.sae.stack import Member, Stack

PLAN = Plan(k=4, expansion=4, steps=1000, batch=64, learning_rate=0.05)


def frames(points: int, n: int = 64, seed: int = 0) -> torch.Tensor:
    return torch.randn(points, n, 16, generator=torch.Generator().manual_seed(seed)) + 1.0


def test_a_step_is_adam_on_the_squared_error_of_a_batch_top_k_sae() -> None:
    """Against the module for inference, trained by plain code."""
    plan = replace(PLAN, learning_rate=1e-3, steps=40)  # the warm-up is over after two of them
    stack = Stack(plan, ["a", "b"], [Member("a"), Member("b")], frames(2, 500))
    lone = SAE(SAEConfig(16, 4, k=4))
    with torch.no_grad():
        for name, tensor in stack.tensors(1).items():
            getattr(lone, name).copy_(tensor)
    optimiser = torch.optim.Adam(lone.parameters())
    for step in range(4):
        h = frames(2, seed=step + 1)
        optimiser.param_groups[0]["lr"] = plan.rate_at(step)
        x = lone.normalise(h[1])[0]
        z, kept = batch_top_k(lone.pre_activations(x), plan.k_at(step, 16))
        optimiser.zero_grad()
        (x - lone.decode(z)).pow(2).sum(dim=-1).mean().backward()
        along = (lone.W_dec.grad * lone.W_dec).sum(dim=1, keepdim=True)  # type: ignore[operator]
        lone.W_dec.grad = lone.W_dec.grad - along * lone.W_dec.detach()  # type: ignore[operator]
        optimiser.step()
        with torch.no_grad():
            lone.W_dec /= lone.W_dec.norm(dim=1, keepdim=True)
            lone.threshold.lerp_(kept, 0.01 if step > 0 else 1.0)
        stack.learn(h, step)
    for name, tensor in stack.tensors(1).items():
        torch.testing.assert_close(tensor, getattr(lone, name).detach(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_an_sae_does_not_depend_on_what_is_trained_beside_it(kind: str) -> None:
    plan = replace(PLAN, kind=kind)  # type: ignore[arg-type]
    members = [Member("a"), Member("b"), Member("b", "soft-frozen")]
    together, alone = (
        Stack(plan, ["a", "b"], members, frames(2)),
        Stack(plan, ["b"], members[1:2], frames(2)[1:]),
    )
    for step in range(120):
        h = frames(2, seed=step)
        together.learn(h, step)
        alone.learn(h[1:], step)
    for name, tensor in together.tensors(1).items():
        torch.testing.assert_close(tensor, alone.tensors(0)[name], rtol=1e-2, atol=1e-3)
    assert not torch.allclose(together.start[0], together.start[1])


@pytest.mark.parametrize("kind", KINDS)
def test_controls_keep_what_they_freeze_and_learn_the_rest(kind: str) -> None:
    plan = replace(PLAN, kind=kind)  # type: ignore[arg-type]
    members = [Member("a"), *(Member("a", control) for control in CONTROLS)]
    stack = Stack(plan, ["a"], members, frames(1, 2000))
    assert all(torch.equal(stack.start[0], stack.start[i]) for i in (1, 3))
    first = {name: getattr(stack, name).detach().clone() for name in ("W_enc", "W_dec", "b_enc")}
    for step in range(130):
        stack.learn(frames(1, seed=step), step)
    cosine = (stack.W_dec * stack.start).sum(dim=-1).detach()
    torch.testing.assert_close(stack.W_dec.norm(dim=-1), torch.ones(4, 64))
    assert float(cosine[1].min()) > COSINE - 1e-4 and float(cosine[0].min()) < COSINE - 0.1
    moved = {
        name: [not torch.equal(getattr(stack, name)[i], first[name][i]) for i in range(4)] for name in first
    }
    assert moved == {
        "W_enc": [True, True, True, False],
        "W_dec": [True, True, False, True],
        "b_enc": [True, True, True, False],
    }


def test_frozen_directions_have_the_covariance_of_the_inputs() -> None:
    generator = torch.Generator().manual_seed(0)
    x = F.normalize(
        torch.randn(5000, 6, generator=generator) * torch.tensor([3.0, 2.0, 1.0, 0.5, 0.2, 0.1]), dim=1
    )
    found = coloured(torch.randn(20_000, 6, generator=generator), x)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(20_000))
    expected = torch.distributions.MultivariateNormal(torch.zeros(6), torch.cov(x.T)).sample((20_000,))
    torch.testing.assert_close(
        torch.cov(found.T), torch.cov(F.normalize(expected, dim=1).T), atol=0.02, rtol=0.1
    )


@pytest.mark.parametrize("kind", ["batch-topk", "topk"])
def test_dead_latents_are_taught_by_what_the_others_leave(kind: str) -> None:
    """Too faint to be kept, they would never learn again."""
    plan = replace(PLAN, kind=kind, steps=5000)  # type: ignore[arg-type]
    moved = []
    for idle in (0, 1000):
        stack = Stack(plan, ["a"], [Member("a")], frames(1))
        with torch.no_grad():
            stack.W_enc[0, :, :32] *= 1e-4
        stack.idle[0, :32] = idle
        before = stack.W_dec[0, :32].detach().clone()
        stack.learn(frames(1), 3000)
        moved.append((stack.W_dec[0, :32].detach() - before).norm(dim=1))
    assert float(moved[0].max()) < 1e-5
    assert float((moved[1] > 1e-3).float().mean()) > 0.9


def test_half_precision_comes_near_to_the_whole() -> None:
    stacks = [Stack(replace(PLAN, half=half), ["a"], [Member("a")], frames(1)) for half in (False, True)]
    for step in range(20):
        for stack in stacks:
            stack.learn(frames(1, seed=step), step)
    whole, half = (stack.W_dec[0].detach() for stack in stacks)
    assert half.dtype == torch.float32 and not torch.equal(whole, half)
    assert float((whole * half).sum(dim=1).median()) > 0.95
