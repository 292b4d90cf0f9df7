"""If these fail, speech is edited where nothing should be, or sounds are left as they are."""

import pytest
import torch
from helpers import a_silence, random_sae

from whisper_steer.steer.silence import SMOOTH, Silence, always, smoothed, where_nobody_speaks


@pytest.fixture
def silence() -> Silence:
    return a_silence(random_sae())


@pytest.fixture
def h() -> torch.Tensor:
    """300 frames on which latent 7 is silent, then 300 on which it fires."""
    sae = random_sae()
    quiet, loud = (sae.mean + 3 * sign * sae.W_enc.detach()[:, 7] for sign in (-1, 1))
    return torch.stack([quiet] * 300 + [loud] * 300)[None]


def test_frames_of_speech_stay_bit_for_bit(silence: Silence, h: torch.Tensor) -> None:
    change = where_nobody_speaks(h, silence, 1.0)
    assert torch.equal(change[:, : 300 - SMOOTH], torch.zeros(1, 300 - SMOOTH, 32))
    assert torch.equal(change[:, 300 + SMOOTH :], always(h, silence, 1.0)[:, 300 + SMOOTH :])
    assert (change[:, 300 + SMOOTH :].norm(dim=-1) > 0.1).all()


def test_the_change_is_the_sum_of_its_directions(silence: Silence, h: torch.Tensor) -> None:
    sae = random_sae()
    scale = (h - sae.mean).norm(dim=-1, keepdim=True)
    expected = 2 * scale * (0.4 * sae.W_dec[1] - 0.2 * sae.W_dec[5]).detach()
    torch.testing.assert_close(always(h, silence, 2.0), expected)


def test_an_edge_is_averaged_over_the_frames_there_are() -> None:
    ramp = torch.arange(200.0)[None]
    found = smoothed(ramp)
    torch.testing.assert_close(found[0, 0], ramp[0, : SMOOTH + 1].mean())
    torch.testing.assert_close(found[0, 100], torch.tensor(100.0))
    torch.testing.assert_close(found[0, -1], ramp[0, -SMOOTH - 1 :].mean())
