"""If these fail, an SAE of somebody else steers by another set of latents than the one it was trained to have."""

import pytest
import torch
from helpers import random_sae

from whisper_steer.errors import UsageError
from whisper_steer.sae import calibrate
from whisper_steer.sae.calibrate import calibrated, in_common_units
from whisper_steer.sae.model import SAE


def top_k(k: int = 4) -> SAE:
    sae = SAE.of(random_sae().state_dict(), k, "topk")
    sae.about["hook_point"] = "blocks.3"
    return sae


def frames(n: int = 700) -> torch.Tensor:
    return torch.randn(n, 32, generator=torch.Generator().manual_seed(8)) * 3


def test_as_many_latents_a_frame_are_active_as_k_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "BATCH", 64)
    sae = calibrated(top_k(), frames())
    z = sae.encode(frames())
    assert int((z > 0).sum()) == 4 * 700
    # the closed form: between the 2800th and the 2801st of all pre-activations
    values = sae.pre_activations(sae.normalise(frames())[0]).flatten().sort(descending=True).values
    assert values[2799] > sae.threshold > values[2800]
    assert sae.config.activation == "threshold"
    assert sae.about == {"hook_point": "blocks.3"}
    torch.testing.assert_close(sae.latents(torch.arange(128)).encode(frames())[0], z, atol=1e-5, rtol=0)


def test_where_fewer_latents_than_k_are_ever_active_all_of_them_stay() -> None:
    sae = top_k(120)
    made = calibrated(sae, frames())
    assert float(made.threshold) == 0
    assert torch.equal(made.encode(frames()), sae.pre_activations(sae.normalise(frames())[0]))


def test_frames_are_thinned_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "FRAMES", 300)
    made = calibrated(top_k(), frames())
    assert int((made.encode(frames()[::3]) > 0).sum()) == 4 * len(frames()[::3])


@pytest.mark.parametrize(("k", "shape"), [(0, (5, 32)), (4, (0, 32)), (4, (5, 31))])
def test_nothing_to_calibrate_on_is_told(k: int, shape: tuple[int, ...]) -> None:
    sae = SAE.of(random_sae().state_dict(), k)
    with pytest.raises(UsageError):
        calibrated(sae, torch.ones(shape))


def test_common_units_change_neither_what_is_active_nor_the_reconstruction() -> None:
    generator = torch.Generator().manual_seed(9)
    state = random_sae().state_dict()
    state["W_dec"] = state["W_dec"] * (0.2 + torch.rand(128, 1, generator=generator) * 4)
    state["threshold"] = torch.rand(128, generator=generator) * 0.3
    h = frames() + 1
    for norm in (None, 1.0, 7.0):
        sae = SAE.of(state, 4, frame_norm=norm)
        made = in_common_units(sae, h)
        torch.testing.assert_close(made.W_dec.norm(dim=1), torch.ones(128))
        assert ((made.encode(h) > 0) == (sae.encode(h) > 0)).float().mean() > 0.9999
        torch.testing.assert_close(made.reconstruct(h), sae.reconstruct(h), atol=1e-3, rtol=1e-3)
        if norm is not None:
            distance = (made.normalise(h)[0] - made.b_dec).norm(dim=-1).mean()
            assert float(distance) == pytest.approx(1, abs=1e-4)


def test_an_sae_trained_here_is_left_as_it_is_and_top_k_is_refused() -> None:
    sae = SAE.of(random_sae().state_dict(), 4)
    assert in_common_units(sae, frames()) is sae
    with pytest.raises(UsageError, match="calibrate it first"):
        in_common_units(top_k(), frames())
