"""If these fail, the gate learns from other places of its stretches than meant, or other weights for the same seed."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from whisper_steer.data.labels import NONSPEECH, SPEECH
from whisper_steer.fit.conv_gate import Stretches, Training, fit_steps, stretch_loss
from whisper_steer.fit.stretches import cut
from whisper_steer.gate.kinds import POOL_STEPS, smooth


@pytest.fixture
def labels(rng: np.random.Generator) -> np.ndarray:
    """Windows with words of many lengths, also at their very edges; the last one holds none."""
    made = np.full((6, 1500), NONSPEECH, np.int8)
    for window in made[:-1]:
        for start in rng.integers(0, 1500, 8):
            window[start : start + int(rng.integers(4, 120))] = SPEECH
    made[0, :5], made[1, -4:] = SPEECH, SPEECH
    return made


def test_the_loss_is_that_of_a_plain_loop_over_the_stretches(
    labels: np.ndarray, rng: np.random.Generator
) -> None:
    content = np.array([1500, 1500, 700, 1500, 90, 1200])
    evidence = torch.from_numpy(rng.normal(size=(4, 750)).astype(np.float32)).requires_grad_()
    chosen, share, inside = [5, 0, 4, 1], 0.3, POOL_STEPS // 2
    strongest, speech = [], []
    for row, window in zip(smooth(evidence), chosen, strict=True):
        for stretch in cut(labels[window], int(content[window])):
            start, end = stretch.start // 2, max(-(-stretch.end // 2), stretch.start // 2 + 1)
            places = row[min(start + inside, end - 1) : max(start + inside + 1, end - inside)]
            strongest.append(places.max())
            speech.append(stretch.speech)
    said = torch.tensor(speech)
    weight = torch.where(said, 0.5 / share, 0.5 / (1 - share))
    expected = F.binary_cross_entropy_with_logits(torch.stack(strongest), said.float(), weight)
    (gradient,) = torch.autograd.grad(expected, evidence)
    found = stretch_loss(evidence, Stretches.of(labels, content)[torch.tensor(chosen)], share)
    assert len(speech) > 20 and 0 < sum(speech) < len(speech)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(torch.autograd.grad(found, evidence)[0], gradient)


def test_the_same_seed_gives_the_same_gate_of_the_width_asked_and_leaves_other_draws_alone(
    labels: np.ndarray, rng: np.random.Generator
) -> None:
    hidden = torch.from_numpy(rng.normal(size=(6, 750, 8)).astype(np.float16))
    plan = Training(hidden=16, batch=4, epochs=1, fewest_steps=3, seed=5)
    state = torch.get_rng_state()
    content = np.full(6, 1500)
    gates = [
        fit_steps(lambda i: hidden[i], labels, content, torch.zeros(8), torch.ones(8), plan) for _ in range(2)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert gates[0].near_weight.shape == (16, 16, 13)
    for name, tensor in vars(gates[0]).items():
        assert torch.equal(tensor, getattr(gates[1], name)), name
        assert bool(tensor.isfinite().all()) and not tensor.requires_grad
