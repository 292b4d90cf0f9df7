"""If these fail, a killed fit does not come back to the same SAE, or the SAE does not find what is there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from whisper_steer.encoders.record import Activations
from whisper_steer.errors import FitError
from whisper_steer.sae.model import SAEConfig
from whisper_steer.sae.train import Training, batch_top_k, measure, train

N_STATE, N_TRUE = 16, 24


@pytest.fixture(scope="module")
def directions() -> torch.Tensor:
    d = torch.randn(N_TRUE, N_STATE, generator=torch.Generator().manual_seed(100))
    return d / d.norm(dim=1, keepdim=True)


@pytest.fixture(scope="module")
def activations(directions: torch.Tensor) -> Activations:
    """Frames that are sums of two out of 24 known directions."""
    generator = torch.Generator().manual_seed(1)
    codes = torch.zeros(4 * 1500, N_TRUE)
    chosen = torch.rand(4 * 1500, N_TRUE, generator=generator).topk(2, dim=1).indices
    codes.scatter_(1, chosen, 0.5 + torch.rand(4 * 1500, 2, generator=generator))
    hidden = (codes @ directions).reshape(4, 1500, N_STATE).half().numpy()
    return Activations(
        hidden, np.zeros((4, 1500), np.int8), np.full(4, 1500), np.array([True] * 4), ["as recorded"] * 4
    )


def test_it_finds_the_directions_that_made_the_data(
    activations: Activations, directions: torch.Tensor
) -> None:
    config = SAEConfig(N_STATE, expansion=3, k=3)
    sae = train(activations, config, Training(steps=500, batch=512, learning_rate=5e-3))
    found = (directions @ sae.W_dec.T).amax(dim=1)
    untrained = (directions @ train(activations, config, Training(steps=1, batch=512)).W_dec.T).amax(dim=1)
    assert float((found > 0.9).float().mean()) > 0.6
    assert float((found > 0.9).float().mean()) > float((untrained > 0.9).float().mean()) + 0.4
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(48))
    quality = measure(sae, activations)
    assert quality.explained_variance > 0.85
    assert 1 < quality.mean_active < 6  # k = 3 a frame, by the threshold learned in training


def test_batch_top_k_keeps_k_a_frame_over_the_batch() -> None:
    pre = torch.rand(8, 20, generator=torch.Generator().manual_seed(2))
    z, kept = batch_top_k(pre, k=3)
    assert int((z > 0).sum()) == 24
    assert torch.equal(z[z > 0].min(), kept)
    assert torch.equal(z[z > 0].sort().values, pre.flatten().sort().values[-24:])


def test_a_killed_training_goes_on_to_the_same_weights(activations: Activations, tmp_path: Path) -> None:
    config, training = SAEConfig(N_STATE, expansion=2, k=2), Training(steps=230, batch=64)
    whole = train(activations, config, training)

    class Killed(Exception):
        pass

    steps = 0

    def kill_after(_self: object, *_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 215:
            raise Killed

    hook = register_optimizer_step_post_hook(kill_after)
    with pytest.raises(Killed):
        train(activations, config, training, tmp_path)
    hook.remove()
    resumed = train(activations, config, training, tmp_path)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    (kept,) = tmp_path.iterdir()
    assert sorted(p.name for p in kept.iterdir()) == ["step-200.safetensors", "step.json"]


def test_what_was_trained_on_other_activations_or_otherwise_is_not_continued(
    activations: Activations, tmp_path: Path
) -> None:
    """A folder used again with other recordings must not mix their SAE with the new one's."""
    config, training = SAEConfig(N_STATE, expansion=2, k=2), Training(steps=200, batch=64)
    train(activations, config, training, tmp_path)
    other = replace(activations, hidden=activations.hidden[::-1] * np.float16(2))
    less = replace(activations, content=activations.content - 100)
    wider = SAEConfig(N_STATE, expansion=3, k=2)
    for arguments in (
        (other, config, training),
        (less, config, training),
        (activations, wider, training),
        (activations, config, replace(training, seed=1)),
    ):
        fresh, kept = train(*arguments), train(*arguments, tmp_path)
        for name, value in fresh.state_dict().items():
            assert torch.equal(value, kept.state_dict()[name]), name


def test_too_little_data_is_told(activations: Activations) -> None:
    with pytest.raises(FitError, match="too few"):
        train(activations, SAEConfig(N_STATE), Training(batch=100_000))
