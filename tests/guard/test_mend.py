"""If these fail, decoding on is another decoder than stock's, or the patch is not that of the reference run."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import whisper
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.model import Whisper

from whisper_steer.guard import mend
from whisper_steer.guard.mend import Way, ban, carry_on, ended

OPTIONS = DecodingOptions(language="en", fp16=False, sample_len=11)


@pytest.fixture
def features(tiny_model: Whisper) -> torch.Tensor:
    return torch.randn(1500, tiny_model.dims.n_audio_state, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("kept", [0, 1, 5])
def test_with_nothing_changed_it_writes_what_stock_writes(
    tiny_model: Whisper, features: torch.Tensor, kept: int
) -> None:
    """Tokens and their log probability, whichever part of the text it is given, among other ways in the batch."""
    stock = whisper.decode(tiny_model, features, OPTIONS)
    ways = [Way("ban", ban=1), Way("unchanged"), Way("patched", ((0, 1),))]
    found = carry_on(DecodingTask(tiny_model, OPTIONS), features, stock.tokens[:kept], ways)[1]
    assert found.tokens == stock.tokens
    assert found.sum_logprob / (len(stock.tokens) + 1) == pytest.approx(stock.avg_logprob, rel=1e-3)


def test_all_heads_patched_are_the_decoder_on_the_reference(
    tiny_model: Whisper, features: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model has one block: from the second token on, nothing of the audio is left."""
    other = torch.randn(1500, tiny_model.dims.n_audio_state, generator=torch.Generator().manual_seed(4))
    monkeypatch.setattr(mend, "reference", lambda *_: other)
    task: Any = DecodingTask(tiny_model, OPTIONS)
    (found,) = carry_on(task, features, [], [Way("all", ((0, 0), (0, 1)))])
    assert found.tokens == whisper.decode(tiny_model, other, OPTIONS).tokens


def test_a_patch_may_end(tiny_model: Whisper, features: torch.Tensor) -> None:
    ways = [Way("none"), Way("never", ((0, 0), (0, 1)), steps=0)]
    plain, never = carry_on(DecodingTask(tiny_model, OPTIONS), features, [], ways)
    assert never.tokens == plain.tokens


def test_a_ban_forbids_the_second_time() -> None:
    logits = torch.zeros(60)
    ban(logits, [3, 4, 5, 55, 3, 4], 3, eot=50)
    assert logits.isinf().nonzero().flatten().tolist() == [5]


@pytest.mark.parametrize("resume", [False, True])
def test_a_text_is_ended_with_a_timestamp(tiny_model: Whisper, features: torch.Tensor, resume: bool) -> None:
    task = DecodingTask(tiny_model, OPTIONS)
    begin = task.tokenizer.timestamp_begin
    kept = [begin + 10, 5, 6]
    tokens, logprob = ended(task, features, kept, resume)
    assert tokens[:3] == kept
    assert len(tokens) == (5 if resume else 4)
    assert all(token > begin + 10 for token in tokens[3:])
    assert logprob < 0
