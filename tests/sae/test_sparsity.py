"""If these fail, an SAE of one kind is trained as another, or its thresholds do not learn."""

import pytest
import torch

from whisper_steer.sae.plan import Plan
from whisper_steer.sae.sparsity import BANDWIDTH, active, batch_top_k, jump, top_k


def test_batch_top_k_keeps_k_a_frame_over_the_batch() -> None:
    pre = torch.rand(8, 20, generator=torch.Generator().manual_seed(2))
    z, kept = batch_top_k(pre, k=3)
    assert int((z > 0).sum()) == 24
    assert torch.equal(z[z > 0].min(), kept)
    assert torch.equal(z[z > 0].sort().values, pre.flatten().sort().values[-24:])


def test_top_k_keeps_the_k_largest_of_each_frame() -> None:
    pre = torch.rand(2, 8, 20, generator=torch.Generator().manual_seed(2))
    z = top_k(pre, 3)
    assert (z > 0).sum(dim=-1).unique().tolist() == [3]
    assert torch.equal(z.sort(dim=-1).values[..., -3:], pre.sort(dim=-1).values[..., -3:])


def test_jumprelu_has_the_estimated_gradients_of_its_paper() -> None:
    """By hand: a latent counts towards its threshold's gradient where it lies within half a bandwidth of it."""
    threshold = torch.tensor([[[0.5, 0.2]]], requires_grad=True)
    near = BANDWIDTH / 4
    pre = torch.tensor([[[0.5 + near, 0.9], [0.5 - near, 0.1], [0.7, 0.2 + near]]], requires_grad=True)
    z = jump(pre, threshold)
    assert torch.equal(z > 0, pre > threshold)
    z.sum().backward()
    assert torch.equal(pre.grad, (pre > threshold).float())
    torch.testing.assert_close(threshold.grad, torch.tensor([[[-2 * 0.5 / BANDWIDTH, -0.2 / BANDWIDTH]]]))
    threshold.grad = None
    counted = active(pre, threshold)
    assert counted.tolist() == [pytest.approx(4 / 3)]
    counted.sum().backward()
    torch.testing.assert_close(threshold.grad, torch.tensor([[[-2.0, -1.0]]]) / BANDWIDTH / 3)


def test_the_schedules_are_shares_of_the_steps() -> None:
    """Those of the paper for its 200,000 steps: sparse from 10,000 on, the rate falling from 160,000 on."""
    plan = Plan()
    assert plan.sparsity_at(4_999) == 0.5 and plan.sparsity_at(9_999) == plan.sparsity_at(150_000) == 1
    assert plan.k_at(0, 384) == 384 and plan.k_at(4_999, 384) == 217 and plan.k_at(10_000, 384) == 50
    assert plan.rate_at(999) == plan.rate_at(160_000) == 2e-4
    assert plan.rate_at(180_000) == pytest.approx(1e-4) and plan.rate_at(199_999) == pytest.approx(5e-9)
    assert plan.dead_after == 4000
