"""If these fail, attaching steering changes what users get where nothing is steered, or does not let go."""

import pytest
import torch
from whisper.model import Whisper

from whisper_steer.errors import UsageError
from whisper_steer.models.hooks import attach, hook_points, hooked, read_activations


@pytest.fixture(scope="module")
def mel() -> torch.Tensor:
    return torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_attached_with_nothing_to_do_is_bit_identical(tiny_model: Whisper, mel: torch.Tensor) -> None:
    stock = tiny_model.encoder(mel)
    edits = [(point, lambda hidden: None) for point in hook_points(tiny_model.encoder)]
    with hooked(tiny_model.encoder, *edits):
        assert torch.equal(tiny_model.encoder(mel), stock)


@torch.no_grad()
def test_activations_are_the_outputs_of_the_blocks(tiny_model: Whisper, mel: torch.Tensor) -> None:
    encoder = tiny_model.encoder
    found = read_activations(encoder, mel, ["blocks.0", "blocks.1", "ln_post"])
    assert torch.equal(encoder.blocks[1](found["blocks.0"]), found["blocks.1"])
    assert torch.equal(encoder.ln_post(found["blocks.1"]), found["ln_post"])
    assert torch.equal(found["ln_post"], encoder(mel))


@torch.no_grad()
def test_hooks_stack_in_order_and_come_off_one_by_one(tiny_model: Whisper, mel: torch.Tensor) -> None:
    encoder = tiny_model.encoder
    stock = encoder(mel)
    double = attach(encoder, "ln_post", lambda hidden: hidden * 2)
    add = attach(encoder, "ln_post", lambda hidden: hidden + 1)
    assert torch.equal(encoder(mel), stock * 2 + 1)
    double.remove()
    double.remove()
    assert torch.equal(encoder(mel), stock + 1)
    add.remove()
    assert torch.equal(encoder(mel), stock)


@torch.no_grad()
def test_an_exception_inside_leaves_the_model_as_it_was(tiny_model: Whisper, mel: torch.Tensor) -> None:
    stock = tiny_model.encoder(mel)

    def fail(hidden: torch.Tensor) -> None:
        raise RuntimeError("inside the hook")

    with pytest.raises(RuntimeError, match="inside the hook"), hooked(tiny_model.encoder, ("blocks.0", fail)):
        tiny_model.encoder(mel)
    with pytest.raises(UsageError), hooked(tiny_model.encoder, ("blocks.0", fail), ("blocks.9", fail)):
        pass
    assert torch.equal(tiny_model.encoder(mel), stock)


def test_an_edit_keeps_the_dtype_of_half_precision_models() -> None:
    """openai-whisper returns a TypeError instead of features when an edit turns fp16 into fp32."""
    encoder = torch.nn.Module()
    encoder.blocks = torch.nn.ModuleList([torch.nn.Identity()])
    with hooked(encoder, ("blocks.0", lambda h: h.double() + 1)):
        edited = encoder.blocks[0](torch.zeros(1, 4, 32, dtype=torch.float16))
    assert edited.dtype == torch.float16
    assert torch.equal(edited, torch.ones(1, 4, 32, dtype=torch.float16))


def test_an_unknown_point_names_those_there_are(tiny_model: Whisper) -> None:
    with pytest.raises(UsageError, match=r"blocks\.0, blocks\.1, ln_post"):
        attach(tiny_model.encoder, "blocks.2", lambda h: None)
    with pytest.raises(UsageError, match="no part of a Whisper"):
        attach(torch.nn.Linear(2, 2), "blocks.0", lambda h: None)


@torch.no_grad()
def test_a_changed_shape_is_refused(tiny_model: Whisper, mel: torch.Tensor) -> None:
    with (
        pytest.raises(ValueError, match="shape"),
        hooked(tiny_model.encoder, ("ln_post", lambda h: h[:, :10])),
    ):
        tiny_model.encoder(mel)


@torch.no_grad()
def test_what_the_parts_of_a_decoder_block_add_makes_its_output(
    tiny_model: Whisper, mel: torch.Tensor
) -> None:
    """What is read at a name must be what it says, or a patch mends something else."""
    tokens, features = torch.tensor([[1, 2, 12, 13]]), tiny_model.encoder(mel)
    decoder, found = tiny_model.decoder, {}
    parts = ["blocks.0.attn", "blocks.0.cross_attn", "blocks.0.mlp", "blocks.0"]
    edits = [(point, lambda h, point=point: found.update({point: h})) for point in parts]
    stock = decoder(tokens, features)
    with hooked(decoder, *edits):
        assert torch.equal(decoder(tokens, features), stock)
    before = decoder.token_embedding(tokens) + decoder.positional_embedding[:4]
    torch.testing.assert_close(sum((found[part] for part in parts[:3]), before), found["blocks.0"])
    assert hook_points(decoder) == ["blocks.0", "ln"]


@torch.no_grad()
def test_without_what_its_heads_found_a_cross_attention_adds_its_bias_alone(
    tiny_model: Whisper, mel: torch.Tensor
) -> None:
    tokens, features = torch.tensor([[1, 2, 12, 13]]), tiny_model.encoder(mel)
    added: list[torch.Tensor] = []
    with hooked(
        tiny_model.decoder,
        ("blocks.0.cross_attn.heads", torch.zeros_like),
        ("blocks.0.cross_attn", added.append),
    ):
        tiny_model.decoder(tokens, features)
    bias = tiny_model.decoder.blocks[0].cross_attn.out.bias
    torch.testing.assert_close(added[0], bias.expand_as(added[0]))


def test_parts_that_are_not_there_are_told(tiny_model: Whisper) -> None:
    with pytest.raises(UsageError, match=r"blocks.1, ln_post"):
        attach(tiny_model.encoder, "blocks.1.cross_attn", lambda hidden: None)
    with pytest.raises(UsageError, match=r"cross_attn.heads"):
        attach(tiny_model.decoder, "blocks.0.cross", lambda hidden: None)


@torch.no_grad()
def test_queries_and_keys_read_in_transformers_are_those_of_openai_whisper(
    tiny_model: Whisper, mel: torch.Tensor
) -> None:
    pytest.importorskip("transformers")
    from whisper_steer.formats.hf import build_hf

    other = build_hf(tiny_model).model.decoder.eval()
    tokens, features = torch.tensor([[1, 2, 12, 13]]), tiny_model.encoder(mel)
    found: dict[str, list[torch.Tensor]] = {"query": [], "key": []}
    for decoder in (tiny_model.decoder, other):
        edits = [(f"blocks.0.cross_attn.{part}", found[part].append) for part in found]
        with hooked(decoder, *edits):
            if decoder is tiny_model.decoder:
                decoder(tokens, features)
            else:
                decoder(input_ids=tokens, encoder_hidden_states=features)
    for ours, theirs in found.values():
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
