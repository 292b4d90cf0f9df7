"""If these fail, latents mean something else at inference than in training, and clamping edits the wrong thing."""

import torch
from helpers import random_sae

from whisper_steer.sae.model import normalise


def test_a_few_latents_alone_equal_the_full_encode() -> None:
    sae = random_sae()
    h = torch.randn(3, 50, 32, generator=torch.Generator().manual_seed(2)) * 4
    indices = torch.tensor([0, 7, 99, 127])
    z, scale = sae.latents(indices).encode(h)
    full = sae.encode(h)[..., indices]
    assert full.any()
    torch.testing.assert_close(z, full)
    torch.testing.assert_close(scale[..., 0], (h - sae.mean).norm(dim=-1))


def test_encode_is_a_jumprelu_by_hand() -> None:
    sae = random_sae()
    h = torch.randn(32, generator=torch.Generator().manual_seed(3))
    x = (h - sae.mean) / (h - sae.mean).norm()
    pre = sae.W_enc.T @ (x - sae.b_dec) + sae.b_enc
    expected = torch.where(pre > sae.threshold, pre, torch.zeros(()))
    torch.testing.assert_close(sae.encode(h), expected)


def test_zero_change_adds_exactly_zero_and_a_change_moves_along_its_direction() -> None:
    latents = random_sae().latents(torch.tensor([3, 4]))
    h = torch.randn(5, 32, generator=torch.Generator().manual_seed(4))
    _, scale = latents.encode(h)
    assert torch.equal(latents.delta(torch.zeros(5, 2), scale), torch.zeros(5, 32))
    moved = latents.delta(torch.tensor([[2.0, 0.0]]), scale)
    torch.testing.assert_close(moved, 2.0 * scale * latents.directions[0])


def test_normalised_frames_have_norm_one_and_constant_frames_do_not_divide_by_zero() -> None:
    mean = torch.ones(4)
    x, scale = normalise(torch.tensor([[1.0, 1.0, 1.0, 1.0], [3.0, 1.0, 1.0, 1.0]]), mean)
    assert x.isfinite().all()
    assert x[1].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert float(scale[1]) == 2.0


def test_reconstruction_is_decode_in_the_units_of_the_activations() -> None:
    sae = random_sae()
    h = torch.randn(6, 32, generator=torch.Generator().manual_seed(5)) * 10
    _, scale = sae.normalise(h)
    expected = (sae.encode(h) @ sae.W_dec + sae.b_dec) * scale + sae.mean
    torch.testing.assert_close(sae.reconstruct(h), expected)
