"""If these fail, the promise "at most x % of speech windows suppressed" does not hold, or one word does not count."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from whisper_steer.errors import UsageError
from whisper_steer.gate.kinds import (
    Gate,
    around,
    choose_threshold,
    conformal_threshold,
    convolved,
    pool,
    smallest_promise,
)
from whisper_steer.sae.model import normalise


def test_a_fifth_of_a_second_of_speech_fills_the_window_and_a_single_frame_does_not() -> None:
    evidence = torch.full((1, 1500), -5.0)
    evidence[0, 700:710] = 5.0
    assert float(pool(evidence)) == pytest.approx(5.0)
    spike = torch.full((1, 1500), -5.0)
    spike[0, 700] = 5.0
    assert float(pool(spike)) == pytest.approx(-4.0)


def test_pooling_is_the_largest_mean_of_ten_frames() -> None:
    frames = np.random.default_rng(0).normal(size=300).astype(np.float32)
    expected = max(frames[i : i + 10].mean() for i in range(291))
    assert float(pool(torch.from_numpy(frames)[None])) == pytest.approx(float(expected), abs=1e-6)


def test_the_context_is_the_mean_of_what_lies_around_in_the_window() -> None:
    values = np.random.default_rng(0).normal(size=400).astype(np.float32)
    expected = [values[max(0, i - 75) : i + 76].mean() for i in range(400)]
    assert around(torch.from_numpy(values)[None])[0].numpy() == pytest.approx(np.array(expected), abs=1e-5)


def test_context_adds_its_reading_to_every_frame() -> None:
    generator = torch.Generator().manual_seed(0)
    h, mean, context = (torch.randn(*n, generator=generator) for n in ((2, 300, 8), (8,), (8,)))
    plain = Gate(torch.randn(8, generator=generator), torch.tensor(0.3), mean)
    gate = replace(plain, context=context)
    added = gate.frame_evidence(h) - plain.frame_evidence(h)
    assert torch.allclose(added, around(normalise(h, mean)[0] @ context), atol=1e-6)
    assert (plain.kind, gate.kind) == ("dense", "dense + context")


def test_the_convolution_reads_what_its_definition_says() -> None:
    """Against sums written out: a ReLU layer, means of two frames, a ReLU convolution with zeros beyond the ends."""
    rng = np.random.default_rng(3)
    x, hidden_weight, hidden_bias = rng.normal(size=(12, 5)), rng.normal(size=(5, 3)), rng.normal(size=3)
    conv_weight, conv_bias = rng.normal(size=(3, 3, 5)), rng.normal(size=3)
    hidden = np.maximum(x @ hidden_weight + hidden_bias, 0)
    steps = np.pad((hidden[0::2] + hidden[1::2]) / 2, ((2, 2), (0, 0)))
    expected = [
        max(
            sum(conv_weight[out, i, k] * steps[t + k, i] for i in range(3) for k in range(5))
            + conv_bias[out],
            0,
        )
        for t in range(6)
        for _ in range(2)
        for out in range(3)
    ]
    made = convolved(
        *(torch.from_numpy(a) for a in (x[None], hidden_weight, hidden_bias, conv_weight, conv_bias))
    )
    assert made.shape == (1, 12, 3)
    assert made.flatten().numpy() == pytest.approx(np.array(expected), abs=1e-9)


def test_the_threshold_is_the_largest_that_satisfies_the_formula_of_conformal_risk_control() -> None:
    rng = np.random.default_rng(1)
    for n, promise in [(199, 0.005), (500, 0.01), (73, 0.05), (1000, 0.005)]:
        scores = rng.normal(size=n)
        candidates = np.concatenate([scores, scores + 1e-9, [scores.min() - 1]])
        valid = [t for t in candidates if ((scores < t).sum() + 1) / (n + 1) <= promise + 1e-12]
        assert conformal_threshold(torch.from_numpy(scores), promise) == pytest.approx(max(valid), abs=1e-8)


def test_the_promise_holds_on_fresh_speech() -> None:
    """5,000 calibrations on exchangeable data: the mean share suppressed stays below the promise."""
    rng = np.random.default_rng(2)
    shares = []
    for _ in range(5000):
        scores = rng.normal(size=300)
        threshold = conformal_threshold(torch.from_numpy(scores[:200]), 0.02)
        shares.append((scores[200:] < threshold).mean())
    assert np.mean(shares) <= 0.02
    assert np.mean(shares) > 0.01


def test_a_promise_that_the_sample_cannot_keep_is_refused_with_the_smallest_it_can() -> None:
    assert smallest_promise(199) == pytest.approx(0.005)
    conformal_threshold(torch.zeros(199), 0.005)
    with pytest.raises(UsageError, match="198 calibration windows"):
        conformal_threshold(torch.zeros(198), 0.005)
    with pytest.raises(UsageError, match="between 0 and 1"):
        conformal_threshold(torch.zeros(500), 1.0)


def test_room_between_noise_and_speech_is_left_to_speech() -> None:
    """The threshold never passes the promise's bound, and stays below it where noise ends earlier."""
    speech, noise = torch.linspace(4.0, 9.0, 400), torch.linspace(-9.0, 1.0, 400)
    bound = conformal_threshold(speech, 0.01)
    assert choose_threshold(speech, noise, 0.01) == pytest.approx((bound + float(noise.max())) / 2)
    loud_noise = noise + 20
    assert choose_threshold(speech, loud_noise, 0.01) == bound
    some_loud = torch.cat([noise, loud_noise])
    assert choose_threshold(speech, some_loud, 0.01) == choose_threshold(speech, noise, 0.01)
    stopped = (some_loud < choose_threshold(speech, some_loud, 0.01)).sum()
    assert stopped == (some_loud < bound).sum()
