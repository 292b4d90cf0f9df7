"""If these fail, the gate hears something else than it was fitted on, or a model is held twice in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import whisper
from helpers import wrapped
from whisper.model import Whisper

from whisper_steer.encoders import prefix as prefix_module
from whisper_steer.encoders.prefix import Prefix, blocks_before, run_from, share
from whisper_steer.errors import UsageError
from whisper_steer.models.hooks import hook_points, read_activations
from whisper_steer.runtimes.ct2 import in_half

POINTS = ["blocks.0", "blocks.1", "ln_post"]


@pytest.fixture(scope="module")
def mel() -> torch.Tensor:
    return torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("point", POINTS)
def test_it_is_what_a_hook_reads_there_to_the_bit(tiny_model: Whisper, mel: torch.Tensor, point: str) -> None:
    assert hook_points(tiny_model.encoder) == POINTS
    prefix = Prefix(tiny_model.encoder, point)
    expected = read_activations(tiny_model.encoder, mel, [point])[point]
    assert torch.equal(prefix(mel), expected)
    assert (prefix.n_mels, prefix.device.type) == (80, "cpu")
    assert not any(module._forward_hooks for module in tiny_model.encoder.modules())


@pytest.mark.parametrize("fast", [True, False])
def test_in_bfloat16_it_hears_nearly_the_same_and_gives_up_nothing_of_stock(
    tiny_model: Whisper, mel: torch.Tensor, fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On any machine: what the processor can do is taken as given here."""
    monkeypatch.setattr(prefix_module, "has_fast_bfloat16", lambda: fast)
    exact = Prefix(tiny_model.encoder, "blocks.1")
    prefix = Prefix(tiny_model.encoder, "blocks.1", fast=True)
    assert torch.equal(prefix.embedding(mel), exact.embedding(mel))
    found, expected = prefix(mel), exact(mel)
    assert torch.equal(found, expected) is not fast
    error = (found - expected).norm(dim=-1) / expected.norm(dim=-1)
    assert found.dtype == torch.float32
    assert float(error.mean()) < 0.02
    stock = tiny_model.encoder(mel)
    assert torch.equal(run_from(tiny_model.encoder, None, prefix.embedding(mel)), stock)


@pytest.mark.parametrize("wrap", ["compile", "compile in place", "compile blocks", "data parallel"])
def test_compiled_encoders_are_read_too(tiny_path: Path, mel: torch.Tensor, wrap: str) -> None:
    encoder = whisper.load_model(str(tiny_path), device="cpu").encoder
    expected = Prefix(encoder, "blocks.1")(mel)
    assert torch.equal(Prefix(wrapped(encoder, wrap), "blocks.1")(mel), expected)


def test_an_encoder_in_half_precision_is_read_in_it(tiny_path: Path, mel: torch.Tensor) -> None:
    """As faster-whisper listens on a GPU: openai-whisper's norms fail on weights in float16."""
    encoder = whisper.load_model(str(tiny_path), device="cpu").encoder
    expected = Prefix(encoder, "blocks.1")(mel)
    found = Prefix(in_half(encoder), "blocks.1")(mel)
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.02)


def test_an_unknown_point_names_those_there_are(tiny_model: Whisper) -> None:
    for point in ("blocks.2", "blocks.x", "ln", "blocks"):
        with pytest.raises(UsageError, match=r"this encoder has blocks\.0 to 1, ln_post"):
            Prefix(tiny_model.encoder, point)
    assert [blocks_before(point, 2) for point in POINTS] == [1, 2, 2]


@torch.no_grad()
def test_shared_weights_are_the_same_numbers_in_the_same_storage(
    tiny_model: Whisper, mel: torch.Tensor
) -> None:
    weights = tiny_model.encoder.state_dict()
    encoder = share(weights, n_head=2)
    assert torch.equal(encoder(mel), tiny_model.encoder(mel))
    theirs = dict(tiny_model.encoder.named_parameters())
    for name, parameter in encoder.named_parameters():
        assert parameter.data_ptr() == theirs[name].data_ptr(), name
    assert encoder.positional_embedding.data_ptr() == tiny_model.encoder.positional_embedding.data_ptr()
    assert not encoder.training


def test_the_first_blocks_alone_are_enough_for_their_points(tiny_model: Whisper, mel: torch.Tensor) -> None:
    weights = {k: v for k, v in tiny_model.encoder.state_dict().items() if not k.startswith("blocks.1.")}
    encoder = share(weights, n_head=2, n_blocks=1)
    expected = read_activations(tiny_model.encoder, mel, ["blocks.0"])["blocks.0"]
    assert torch.equal(Prefix(encoder, "blocks.0")(mel), expected)
    with pytest.raises(UsageError):
        Prefix(encoder, "blocks.1")
