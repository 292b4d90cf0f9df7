"""If these fail, latents mean something else at inference than in training, and clamping edits the wrong thing."""

import pytest
import torch
from helpers import random_sae

from whisper_steer.errors import UsageError
from whisper_steer.sae.model import SAE, normalise


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


def of_every_kind() -> dict[str, SAE]:
    """Those whose latents stand alone."""
    state = random_sae().state_dict()
    generator = torch.Generator().manual_seed(6)
    each = {"threshold": torch.rand(128, generator=generator) * 0.3}
    raw = {"mean": torch.zeros(32)}
    return {
        "one threshold": SAE.of(state, 4),
        "one for each": SAE.of({**state, **each}, 4),
        "ReLU": SAE.of({**state, "threshold": torch.zeros(())}, 0),
        "not normalised": SAE.of({**state, **each, **raw}, 4, frame_norm=1.0),
        "centred and divided": SAE.of(state, 4, frame_norm=3.5),
    }


@pytest.mark.parametrize("kind", of_every_kind())
def test_a_few_latents_alone_equal_the_full_encode_in_every_kind(kind: str) -> None:
    sae = of_every_kind()[kind]
    h = torch.randn(3, 50, 32, generator=torch.Generator().manual_seed(2)) * 4
    indices = torch.tensor([5, 0, 127, 64])
    z, scale = sae.latents(indices).encode(h)
    full = sae.encode(h)
    assert full[..., indices].any()
    torch.testing.assert_close(z, full[..., indices], atol=1e-5, rtol=0)
    torch.testing.assert_close(scale, sae.normalise(h)[1])
    again = sae.latents(indices).to(torch.device("cpu"))
    assert all(torch.equal(a, b) for a, b in zip(again.encode(h), (z, scale), strict=True))
    norm = (
        (h - sae.mean).norm(dim=-1, keepdim=True) if sae.config.frame_norm is None else sae.config.frame_norm
    )
    by_hand = torch.relu(((h - sae.mean) / norm - sae.b_dec) @ sae.W_enc + sae.b_enc)
    by_hand = torch.where(by_hand > sae.threshold, by_hand, 0.0)
    torch.testing.assert_close(full, by_hand)
    rebuilt = (full @ sae.W_dec + sae.b_dec) * norm + sae.mean
    torch.testing.assert_close(sae.reconstruct(h), rebuilt, atol=1e-4, rtol=1e-4)


def test_top_k_keeps_the_k_largest_of_each_frame_and_has_no_latents_alone() -> None:
    sae = SAE.of(random_sae().state_dict(), 4, "topk")
    h = torch.randn(2, 20, 32, generator=torch.Generator().manual_seed(7))
    z = sae.encode(h)
    before = sae.pre_activations(sae.normalise(h)[0])
    assert ((z > 0).sum(dim=-1) == 4).all()
    assert torch.equal(z[z > 0], before[z > 0])
    assert (
        before[z == 0].amax() > z[z > 0].amin()
    ).item()  # of other frames: each frame has a limit of its own
    assert torch.equal(z.sort(dim=-1).values[..., -4:], before.sort(dim=-1).values[..., -4:])
    with pytest.raises(UsageError, match=r"calibrated\(sae, frames\)") as raised:
        sae.latents(torch.tensor([0]))
    assert "\n" not in str(raised.value)


def test_a_width_that_is_no_multiple_of_the_activations_is_kept() -> None:
    generator = torch.Generator().manual_seed(0)
    state = {
        "W_enc": torch.randn(32, 131, generator=generator),
        "b_enc": torch.zeros(131),
        "W_dec": torch.randn(131, 32, generator=generator),
        "b_dec": torch.zeros(32),
        "mean": torch.zeros(32),
        "threshold": torch.zeros(()),
    }
    assert SAE.of(state, 0).config.n_latents == 131
