"""If these fail, SAEs trained at once are not those that the package trains one by one, or controls are no controls."""

import pytest
import torch

from lab.stack import Plan, Stack, schedule
from whisper_steer.sae.model import SAE, SAEConfig
from whisper_steer.sae.train import Training, _step


def test_a_step_of_a_stack_is_a_step_of_each_sae() -> None:
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(2, 16, generator=generator)
    stack = Stack(Plan(steps=100, k=4, expansion=4), mean, n_frozen=0)
    lone = SAE(SAEConfig(16, 4, k=4))
    with torch.no_grad():
        lone.mean.copy_(mean[1])
        lone.W_dec.copy_(stack.start[1])
        lone.W_enc.copy_(stack.start[1].T)
    optimiser, idle = torch.optim.Adam(lone.parameters()), torch.zeros(64)
    for step in range(4):
        h = torch.randn(2, 64, 16, generator=generator)
        optimiser.param_groups[0]["lr"] = 6e-4 * schedule(step, 100)
        _step(lone, optimiser, h[1], idle, Training(dead_after=1000))
        stack.learn(h, step)
    made = stack.sae(1)
    for name in ("W_enc", "W_dec", "b_enc", "b_dec"):
        torch.testing.assert_close(getattr(made, name), getattr(lone, name), rtol=1e-4, atol=1e-6)
    assert torch.equal(stack.idle[1], idle)


def test_controls_stay_near_their_random_start_and_the_others_need_not() -> None:
    generator = torch.Generator().manual_seed(0)
    plan = Plan(steps=10**6, learning_rate=0.3, k=4, expansion=4)
    stack = Stack(plan, torch.zeros(2, 16), n_frozen=1)
    for step in range(300, 310):
        stack.learn(torch.randn(1, 64, 16, generator=generator).repeat(2, 1, 1) + 1.0, step)
    cosine = (stack.W_dec * stack.start).sum(dim=-1).detach()
    torch.testing.assert_close(stack.W_dec.norm(dim=-1), torch.ones(2, 64))
    assert float(cosine[1].min()) > 0.8 - 1e-5 and float(cosine[0].min()) < 0.8


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    assert schedule(0, 11188) == pytest.approx(1 / 300)
    assert schedule(300, 11188) == schedule(8391, 11188) == 1
    assert schedule(11187, 11188) == 1e-3
