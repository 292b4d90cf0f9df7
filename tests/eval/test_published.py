"""If these fail, a named method of the literature is not what its paper says, and we beat a straw man."""

import pytest
import torch
from helpers import latents_changed, three_latents

from whisper_steer.errors import UsageError
from whisper_steer.eval.published import EDITS, PUBLISHED
from whisper_steer.steer.methods import METHODS, Edits


@pytest.fixture
def edits() -> Edits:
    return three_latents()


@pytest.fixture
def h() -> torch.Tensor:
    return torch.randn(2, 20, 32, generator=torch.Generator().manual_seed(7)) * 3


def changed(method: str, edits: Edits, h: torch.Tensor, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
    return latents_changed(edits, h, PUBLISHED[method](h, edits, strength))


def test_additive_is_audiosae(edits: Edits, h: torch.Tensor) -> None:
    _, change = changed("additive", edits, h, 0.7)
    torch.testing.assert_close(change, (0.7 * edits.sign).expand_as(change), atol=1e-4, rtol=0)


def test_scaled_additive_is_a_s_z(edits: Edits, h: torch.Tensor) -> None:
    _, change = changed("scaled-additive", edits, h, 3.0)
    expected = 3.0 * torch.tensor([0.2, -0.3, -0.4])
    torch.testing.assert_close(change, expected.expand_as(change), atol=1e-4, rtol=0)


def test_multiplicative_is_z_a_to_the_s(edits: Edits, h: torch.Tensor) -> None:
    z, change = changed("multiplicative", edits, h, 2.0)
    torch.testing.assert_close(z + change, z * torch.tensor([2.0, 0.5, 0.5]), atol=1e-4, rtol=0)
    with pytest.raises(UsageError, match="above 0"):
        PUBLISHED["multiplicative"](h, edits, 0.0)


def test_the_multiplicative_identity_is_one(edits: Edits, h: torch.Tensor) -> None:
    assert not PUBLISHED["multiplicative"](h, edits, 1.0).any()


@pytest.mark.parametrize("method", ["additive", "scaled-additive"])
def test_strength_zero_changes_nothing(method: str, edits: Edits, h: torch.Tensor) -> None:
    assert not PUBLISHED[method](h, edits, 0.0).any()


def test_what_is_published_stands_beside_what_ships() -> None:
    assert set(EDITS) == {*METHODS, *PUBLISHED} and not {*METHODS} & {*PUBLISHED}
