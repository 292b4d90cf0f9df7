"""If these fail, a named method of the literature is not what its paper says, or costs what it should not."""

import pytest
import torch
from helpers import random_sae

from whisper_steer.errors import UsageError
from whisper_steer.steer.methods import METHODS, Edits

INDICES = torch.tensor([2, 30, 77])


@pytest.fixture
def edits() -> Edits:
    return Edits(
        latents=random_sae().latents(INDICES),
        sign=torch.tensor([1.0, -1.0, -1.0]),
        clamp_value=torch.tensor([0.6, 0.0, 0.0]),
        typical=torch.tensor([0.2, 0.3, 0.4]),
        mean_difference=torch.arange(32.0),
    )


@pytest.fixture
def h() -> torch.Tensor:
    return torch.randn(2, 20, 32, generator=torch.Generator().manual_seed(7)) * 3


def changed(method: str, edits: Edits, h: torch.Tensor, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The latents before and the change that the method made, solved for by least squares."""
    delta = METHODS[method](h, edits, strength)
    z, scale = edits.latents.encode(h)
    solved = torch.linalg.lstsq(edits.latents.directions.T, (delta / scale).reshape(-1, 32).T).solution.T
    return z.reshape(-1, 3), solved


def test_clamp_sets_the_latents_to_their_values(edits: Edits, h: torch.Tensor) -> None:
    z, change = changed("clamp", edits, h, 1.0)
    torch.testing.assert_close(z + change, edits.clamp_value.expand_as(z), atol=1e-4, rtol=0)


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
        METHODS["multiplicative"](h, edits, 0.0)


def test_mean_difference_ignores_the_sae(edits: Edits, h: torch.Tensor) -> None:
    assert torch.equal(METHODS["mean-difference"](h, edits, 0.5)[1, 3], torch.arange(32.0) / 2)


@pytest.mark.parametrize("method", [m for m in METHODS if m != "multiplicative"])
def test_strength_zero_changes_nothing(method: str, edits: Edits, h: torch.Tensor) -> None:
    assert not METHODS[method](h, edits, 0.0).any()


def test_the_multiplicative_identity_is_one(edits: Edits, h: torch.Tensor) -> None:
    assert not METHODS["multiplicative"](h, edits, 1.0).any()


def test_an_unknown_method_lists_the_known() -> None:
    with pytest.raises(UsageError, match="clamp, additive, scaled-additive, multiplicative, mean-difference"):
        METHODS.named("subtract")
