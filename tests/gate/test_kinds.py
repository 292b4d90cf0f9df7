"""If these fail, one word does not count, a single click does, or a gate reads what nothing was fitted to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import random_sae

from whisper_steer.gate.kinds import DILATION, Conv, Linear, smooth, steps_of
from whisper_steer.sae.model import normalise


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_fifth_of_a_second_of_speech_counts_in_full_and_a_single_step_does_not() -> None:
    logits = torch.full((1, 750), -5.0)
    logits[0, 350:355] = 5.0
    assert float(smooth(logits).max()) == pytest.approx(5.0)
    spike = torch.full((1, 750), -5.0)
    spike[0, 350] = 5.0
    assert float(smooth(spike).max()) == pytest.approx(-3.0)


def test_evidence_is_the_mean_of_what_lies_within_the_window() -> None:
    values = np.random.default_rng(0).normal(size=300).astype(np.float32)
    expected = [values[max(0, i - 2) : i + 3].mean() for i in range(300)]
    assert smooth(torch.from_numpy(values)[None])[0].numpy() == pytest.approx(np.array(expected), abs=1e-6)


def test_a_step_is_the_mean_of_two_frames_in_float32() -> None:
    """Half precision would round the gate's sums."""
    h = numbers(2, 10, 3).half()
    steps = steps_of(h)
    assert (steps.dtype, steps.shape) == (torch.float32, (2, 5, 3))
    torch.testing.assert_close(steps[:, 2], (h[:, 4].float() + h[:, 5].float()) / 2)


def test_a_linear_gate_is_a_logistic_regression_on_what_it_reads() -> None:
    h, mean = numbers(2, 100, 32), numbers(32, seed=1)
    latents = random_sae().latents(torch.tensor([1, 5, 9, 40]))
    dense = Linear(mean, numbers(32, seed=2), torch.tensor(0.3))
    sparse = Linear(mean, numbers(4, seed=3), torch.tensor(-0.3), latents)
    steps = steps_of(h)
    expected = smooth(normalise(steps, mean)[0] @ dense.weight + 0.3)
    torch.testing.assert_close(dense.evidence(h), expected)
    torch.testing.assert_close(sparse.evidence(h), smooth(latents.encode(steps)[0] @ sparse.weight - 0.3))
    assert dense.evidence(h).shape == (2, 50)


def test_the_convolutions_read_what_their_definition_says() -> None:
    """Against sums written out: a ReLU layer on normalised steps, a convolution of three steps with zeros beyond the
    ends, one over every sixth step of what that made, and all of both weighed."""
    rng = np.random.default_rng(3)
    steps, n_state, n = 40, 6, 3
    h = rng.normal(size=(2 * steps, n_state))
    parts = {
        "mean": rng.normal(size=n_state),
        "weight": rng.normal(size=2 * n),
        "bias": np.array(0.2),
        "hidden_weight": rng.normal(size=(n_state, n)),
        "hidden_bias": rng.normal(size=n),
        "near_weight": rng.normal(size=(n, n, 3)),
        "near_bias": rng.normal(size=n),
        "far_weight": rng.normal(size=(n, n, 3)),
        "far_bias": rng.normal(size=n),
    }

    def convolved(x: np.ndarray, which: str, apart: int) -> np.ndarray:
        weight, bias = parts[f"{which}_weight"], parts[f"{which}_bias"]
        padded = np.pad(x, ((apart, apart), (0, 0)))
        taps = [padded[k * apart : k * apart + steps] @ weight[:, :, k].T for k in range(3)]
        return np.maximum(sum(taps) + bias, 0)

    centred = (h[0::2] + h[1::2]) / 2 - parts["mean"]
    x = normalise(torch.from_numpy(centred), torch.zeros(n_state))[0].numpy()
    hidden = np.maximum(x @ parts["hidden_weight"] + parts["hidden_bias"], 0)
    near = convolved(hidden, "near", 1)
    far = convolved(near, "far", DILATION)
    expected = np.concatenate([near, far], axis=1) @ parts["weight"] + 0.2
    gate = Conv(**{name: torch.from_numpy(value).float() for name, value in parts.items()})
    found = gate.logits(steps_of(torch.from_numpy(h)[None]))[0]
    assert found.numpy() == pytest.approx(expected, abs=1e-4)


def test_a_gate_stays_where_it_is_asked_to_be() -> None:
    gate = Linear(numbers(32), numbers(32, seed=1), torch.tensor(0.0), random_sae().latents(torch.arange(32)))
    assert gate.to(torch.device("cpu")) is gate
    elsewhere = gate.to(torch.device("meta"))
    assert isinstance(elsewhere, Linear) and elsewhere.latents is not None
    assert {t.device.type for t in (elsewhere.mean, elsewhere.weight, elsewhere.latents.weight)} == {"meta"}
