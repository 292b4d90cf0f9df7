"""If these fail, latents and EEG are compared at different times or in another band."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import random_sae
from whisper.model import Whisper

from whisper_steer.errors import DataError, FitError
from whisper_steer.lab.eeg_signals import (
    FRAME_RATE,
    latent_signals,
    listen,
    on_the_clock,
    paired,
    sampled_latents,
)
from whisper_steer.lab.encoders import WhisperEncoder


@pytest.mark.parametrize("rate", [50, 100, 128, 500, 99.99999999999999])
def test_what_lies_between_1_and_8_hz_keeps_its_time(rate: float) -> None:
    def wave(hertz: float, at: float) -> np.ndarray:
        return np.sin(2 * np.pi * hertz * np.arange(round(20 * at)) / at)

    found = on_the_clock(wave(4.0, rate) + wave(0.1, rate) + wave(20.0, rate) + 7.0, rate)
    assert abs(len(found) - 20 * 128) <= 1
    middle = slice(5 * 128, 15 * 128)
    np.testing.assert_allclose(found[middle], wave(4.0, 128.0)[middle], atol=0.02)


def test_a_short_trial_is_refused() -> None:
    with pytest.raises(DataError, match=r"9\.0 s"):
        on_the_clock(np.zeros(450), FRAME_RATE)


def test_pairs_have_one_length_and_are_standardised(rng: np.random.Generator) -> None:
    z = [3 * rng.standard_normal((n, 2)) + 1 for n in (100, 120)]
    z = [np.concatenate([each, np.ones((len(each), 1))], axis=1) for each in z]
    x, y = paired(z, [5 * rng.standard_normal(n) for n in (110, 90)])
    assert [len(each) for each in x] == [len(each) for each in y] == [100, 90]
    joined = np.concatenate(x)
    np.testing.assert_allclose(joined.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(joined.std(axis=0), [1, 1, 0])
    for each in y:
        np.testing.assert_allclose([each.mean(), each.std()], [0, 1], atol=1e-12)


def test_latents_are_drawn_from_those_that_fire_in_every_sound() -> None:
    sae = random_sae()
    generator = torch.Generator().manual_seed(0)
    hidden = {name: torch.randn(300, 32, generator=generator).half() for name in "ab"}
    fires = torch.stack([(sae.encode(h.float()) > 0).float().mean(dim=0) for h in hidden.values()])
    chosen = sampled_latents(sae, hidden, 5, np.random.default_rng(0))
    assert len(chosen) == 5
    assert fires[:, chosen].min() >= 0.01
    everything = sampled_latents(sae, hidden, 10_000, np.random.default_rng(0))
    np.testing.assert_array_equal(everything, (fires >= 0.01).all(dim=0).nonzero().ravel())
    expected = sae.encode(hidden["a"].float())[:, chosen].detach()
    np.testing.assert_allclose(latent_signals(sae, hidden["a"], chosen), expected, atol=1e-6)
    sae.threshold.fill_(1e9)
    with pytest.raises(FitError, match="longer trials"):
        sampled_latents(sae, hidden, 5, np.random.default_rng(0))


def test_a_long_sound_is_heard_window_by_window(tiny_model: Whisper, rng: np.random.Generator) -> None:
    encoder = WhisperEncoder(tiny_model.encoder, 80, 32)
    samples = (0.1 * rng.standard_normal(40 * 16000)).astype(np.float32)
    heard = listen(encoder, "blocks.1", samples)
    assert heard.shape == (2000, 32)
    second = encoder.read([samples[30 * 16000 :]], ["blocks.1"])[0]["blocks.1"].half()
    assert torch.equal(heard[1500:], second)
