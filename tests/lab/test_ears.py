"""If these fail, gates on latents are compared with gates on activations unfairly."""

from __future__ import annotations

import numpy as np
import torch
from helpers import random_sae

from whisper_steer.gate.kinds import Conv
from whisper_steer.lab.ears import SparseConv, telling


def test_the_latents_that_tell_speech_come_first() -> None:
    sae = random_sae()
    noise = torch.randn(4000, 32, generator=torch.Generator().manual_seed(0))
    labels = np.repeat([0, 1], 2000)
    hidden = noise + 3 * torch.from_numpy(labels)[:, None] * sae.W_dec[7]
    first = telling(sae, hidden, labels)[0]
    z = sae.encode(hidden)[:, first]
    assert first == 7
    assert z[2000:].mean() > z[:2000].mean()


def test_a_convolutional_gate_on_latents_is_the_one_on_activations_fed_with_them() -> None:
    sae, generator = random_sae(), torch.Generator().manual_seed(0)
    latents = sae.latents(torch.arange(12))

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    conv = Conv(
        drawn(12),
        drawn(8),
        drawn(1)[0],
        drawn(12, 4),
        drawn(4),
        drawn(4, 4, 13),
        drawn(4),
        drawn(4, 4, 9),
        drawn(4),
    )
    h = drawn(2, 100, 32)
    expected = conv.logits(latents.encode(h)[0])
    assert torch.equal(SparseConv(**vars(conv), latents=latents).logits(h), expected)
    assert expected.std() > 0.01
