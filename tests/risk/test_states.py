"""If these fail, the risk is read off other tokens, or other windows, than those of its segment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from whisper.decoding import DecodingOptions
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer

from whisper_steer.errors import UsageError
from whisper_steer.models.hooks import hooked
from whisper_steer.risk.states import POSITIONS, Watch, residuals
from whisper_steer.runtimes.openai import stock_loop
from whisper_steer.runtimes.remember import Remembering


@pytest.fixture(scope="module")
def watched(tiny_model: Whisper) -> tuple[Watch, list[dict[str, Any]], list[dict[str, Any]]]:
    """A minute of noise: what was watched, the segments, and stock's own."""
    samples = np.random.default_rng(0).standard_normal(50 * 16000).astype(np.float32) * 0.1
    options: dict[str, Any] = {"temperature": 0.0, "fp16": False, "language": "en"}
    watch = Watch(tiny_model, [0])
    model = Remembering(tiny_model, watch=watch)
    found = stock_loop(model, samples, **options)
    model.finish()
    return watch, found["segments"], stock_loop(tiny_model, samples, **options)["segments"]


def test_watching_changes_nothing(watched: Any) -> None:
    _, segments, stock = watched
    assert segments == stock and len({s["seek"] for s in segments}) > 1


def test_every_segment_with_text_has_its_own_states(watched: Any, tiny_model: Whisper) -> None:
    watch, segments, _ = watched
    eot = get_tokenizer(False).eot
    pooled = watch.pooled(segments)
    assert [p is not None for p in pooled] == [any(t < eot for t in s["tokens"]) for s in segments]
    assert all(p.shape == (1, len(POSITIONS), tiny_model.dims.n_text_state) for p in pooled if p is not None)
    there = [p for p in pooled if p is not None]
    assert len({p.numpy().tobytes() for p in there}) == len(there)


def test_states_are_those_of_the_whole_decoder_while_it_decodes(tiny_model: Whisper) -> None:
    """Compared with hooks on openai-whisper's own decoding, step by step through its cache."""
    features = torch.randn(1500, 32, generator=torch.Generator().manual_seed(0))
    seen: list[Tensor] = []
    with hooked(tiny_model.decoder, ("blocks.0", lambda hidden: seen.append(hidden[0].clone()))):
        result = tiny_model.decode(features, DecodingOptions(fp16=False, language="en"))
    tokens = [*get_tokenizer(False).sot_sequence, *result.tokens]
    found = residuals(tiny_model.decoder, features, tokens, [0])[0]
    passed = torch.cat(seen)  # the last token is written and not read again
    assert len(tokens) - 1 <= len(passed) <= len(tokens)
    torch.testing.assert_close(found[: len(passed)], passed[: len(tokens)], atol=1e-4, rtol=1e-4)


def test_positions(tiny_model: Whisper) -> None:
    watch = Watch(tiny_model, [0])
    eot = watch.eot
    features = torch.randn(1500, 32, generator=torch.Generator().manual_seed(1))
    result = tiny_model.decode(features, DecodingOptions(fp16=False, language="en"))
    result.tokens[:] = [eot + 200, 11, 12, 13, eot + 300, eot + 300, 11, 12, 13, eot + 400]
    watch(features, result, DecodingOptions(fp16=False, language="en"))
    scores = {
        k: vars(result)[k] for k in ("temperature", "avg_logprob", "compression_ratio", "no_speech_prob")
    }
    segments = [{"seek": 0, "tokens": result.tokens[i : i + 5], **scores} for i in (0, 5)]
    prompt = list(get_tokenizer(False).sot_sequence)
    every = residuals(tiny_model.decoder, features, [*prompt, *result.tokens, eot], [0])[:, len(prompt) :]
    for start, pooled in zip((0, 5), watch.pooled(segments), strict=True):
        assert pooled is not None
        text = every[0, start + 1 : start + 4]
        wanted = torch.stack([text.mean(dim=0), text[0], text[2], every[0, start + 4]])
        torch.testing.assert_close(pooled[0], wanted, atol=2e-3, rtol=2e-3)
    strange = {**segments[0], "tokens": [14]}
    assert [states is None for states in watch.at("last", [strange, *segments])] == [True, False, False]


def test_a_block_that_is_not_there(tiny_model: Whisper) -> None:
    with pytest.raises(UsageError, match="1 blocks"):
        residuals(tiny_model.decoder, torch.zeros(1500, 32), [1], [3])
