"""If these fail, a named method of the literature is not what its paper says, or costs what it should not."""

import pytest
import torch
from helpers import latents_changed, three_latents

from whisper_steer.errors import UsageError
from whisper_steer.steer.methods import METHODS, Edits


@pytest.fixture
def edits() -> Edits:
    return three_latents()


@pytest.fixture
def h() -> torch.Tensor:
    return torch.randn(2, 20, 32, generator=torch.Generator().manual_seed(7)) * 3


def changed(method: str, edits: Edits, h: torch.Tensor, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
    return latents_changed(edits, h, METHODS[method](h, edits, strength))


def test_clamp_sets_the_latents_to_their_values(edits: Edits, h: torch.Tensor) -> None:
    z, change = changed("clamp", edits, h, 1.0)
    torch.testing.assert_close(z + change, edits.clamp_value.expand_as(z), atol=1e-4, rtol=0)


def test_mean_difference_ignores_the_sae(edits: Edits, h: torch.Tensor) -> None:
    assert torch.equal(METHODS["mean-difference"](h, edits, 0.5)[1, 3], torch.arange(32.0) / 2)


@pytest.mark.parametrize("method", list(METHODS))
def test_strength_zero_changes_nothing(method: str, edits: Edits, h: torch.Tensor) -> None:
    assert not METHODS[method](h, edits, 0.0).any()


def test_an_unknown_method_lists_the_known() -> None:
    with pytest.raises(UsageError, match="silence, clamp, mean-difference"):
        METHODS.named("subtract")
