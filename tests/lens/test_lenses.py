"""If these fail, a lens shows something other than what the model computes."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import whisper
from whisper.decoding import DecodingOptions
from whisper.model import Whisper, disable_sdpa

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.lens.attention import (
    COLUMNS,
    alignment_heads,
    best_path,
    pooled,
    token_frames,
    writing,
)
from whisper_steer.lens.encoder import encoder_lens
from whisper_steer.lens.logit import TOP, LogitLens, logit_lens
from whisper_steer.lens.passes import encoder_states
from whisper_steer.lens.report import report, unpacked
from whisper_steer.lens.windows import decode_windows

INITIAL = [50257, 50362]
WRITTEN = [50363, 383, 1200, 11, 1200]


@pytest.fixture(scope="module")
def babble() -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(4 * 16000) * 0.1).astype(np.float32)


@pytest.fixture(scope="module")
def states(tiny_model: Whisper, babble: np.ndarray) -> torch.Tensor:
    return encoder_states(tiny_model, window_mel(babble)[None])[:, 0]


@torch.no_grad()
def test_the_last_block_is_the_decoder(tiny_model: Whisper, states: torch.Tensor) -> None:
    lens = logit_lens(tiny_model, states[-1], INITIAL, WRITTEN)
    tokens = torch.tensor([[*INITIAL, *WRITTEN][:-1]])
    probabilities = tiny_model.decoder(tokens, states[-1:])[0, 1:].softmax(dim=-1)
    own = probabilities[range(5), WRITTEN]
    np.testing.assert_allclose(lens.probability[-1], own, rtol=1e-4)
    assert lens.rank[-1].tolist() == [int((p > q).sum()) for p, q in zip(probabilities, own, strict=True)]
    assert lens.top[-1].tolist() == probabilities.topk(TOP).indices.tolist()
    entropy = torch.distributions.Categorical(probabilities).entropy()
    np.testing.assert_allclose(lens.entropy[-1], entropy, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_last_state_is_the_encoder(tiny_model: Whisper, babble: np.ndarray, states: torch.Tensor) -> None:
    assert torch.equal(states[-1], tiny_model.encoder(window_mel(babble)[None])[0])
    assert len(states) == tiny_model.dims.n_audio_layer


def test_the_last_block_of_the_encoder_lens_is_plain_decoding(
    tiny_model: Whisper, states: torch.Tensor
) -> None:
    options = DecodingOptions(language="en", fp16=False)
    found = encoder_lens(tiny_model, states, replace(options, temperature=0.4, best_of=2))
    assert found[-1].text == whisper.decode(tiny_model, states[-1], options).text
    assert found[-1].text


@torch.no_grad()
def test_attention_is_whispers(tiny_model: Whisper, states: torch.Tensor) -> None:
    found = writing(tiny_model, states[-1], INITIAL, WRITTEN)
    seen: list[torch.Tensor] = []
    block = tiny_model.decoder.blocks[0]
    with disable_sdpa(), block.cross_attn.register_forward_hook(lambda _, __, out: seen.append(out[1])):
        tiny_model.decoder(torch.tensor([[*INITIAL, *WRITTEN][:-1]]), states[-1:])
    torch.testing.assert_close(found[0], seen[0][0, :, 1:].softmax(dim=-1))
    shown = pooled(found)
    assert shown.shape == (1, 2, len(WRITTEN), COLUMNS)
    np.testing.assert_allclose(shown.sum(axis=-1), 1, rtol=1e-4)


def test_tokens_are_where_openai_whisper_times_them(tiny_en: Whisper, spoken: np.ndarray) -> None:
    """Word by word within a third of a second, most of them."""
    audio = spoken[: 10 * 16000]
    window = decode_windows(tiny_en, audio, None).windows[0]
    weights = writing(tiny_en, window.states(tiny_en)[-1], window.initial(tiny_en), window.result.tokens)
    frames = token_frames(tiny_en, weights, window.seconds)
    assert (np.diff(frames) >= 0).all()
    stock = whisper.transcribe(tiny_en, audio, fp16=False, word_timestamps=True)
    words = [w for s in stock["segments"] if s["seek"] == 0 for w in s["words"] if w["word"].startswith(" ")]
    text = [i for i, token in enumerate(window.result.tokens) if token < 50256]
    tokenizer = whisper.tokenizer.get_tokenizer(False)
    starts = [frames[i] * 0.02 for i in text if tokenizer.decode([window.result.tokens[i]]).startswith(" ")]
    assert len(starts) == len(words)
    late = [max(w["start"] - 0.3 - s, s - w["end"] - 0.3, 0) for s, w in zip(starts, words, strict=True)]
    assert np.mean(np.array(late) == 0) > 0.8


def test_the_best_path_is_the_best() -> None:
    score = np.random.default_rng(1).standard_normal((4, 6))
    every = [(a, b, c, d) for a in range(6) for b in range(a, 6) for c in range(b, 6) for d in range(c, 6)]
    best = max(every, key=lambda path: score[range(4), path].sum())
    assert tuple(best_path(score)) == best


def test_first_block_asks_for_no_break() -> None:
    rank = np.array([[0, 0, 5, 0], [3, 0, 0, 0], [0, 0, 0, 2]])
    nothing = np.zeros((3, 4))
    assert LogitLens(nothing, nothing, nothing, rank, nothing).first_block.tolist() == [2, 0, 1, 3]


def test_windows_are_those_of_transcribe(tiny_en: Whisper, spoken: np.ndarray) -> None:
    audio = np.concatenate([spoken, spoken[: 8 * 16000]])
    stock = whisper.transcribe(tiny_en, audio, fp16=False, condition_on_previous_text=False)
    decoded = decode_windows(tiny_en, audio, None)
    assert decoded.text == " ".join(s["text"].strip() for s in stock["segments"])
    assert [round(w.start * 100) for w in decoded.windows] == sorted({s["seek"] for s in stock["segments"]})
    assert decoded.windows[-1].seconds == pytest.approx(
        len(audio) / 16000 - decoded.windows[-1].start, abs=0.05
    )


def test_the_report_is_json_and_holds_all(tiny_model: Whisper, babble: np.ndarray) -> None:
    decoded = decode_windows(tiny_model, babble, None)
    found = report("a.wav", "tiny", tiny_model, None, decoded)
    assert json.loads(json.dumps(found)) == found
    window, (shown,) = decoded.windows[0], found["windows"]
    tokens = window.result.tokens
    assert [token["id"] for token in shown["tokens"]] == tokens
    assert len(shown["encoder"]) == 2
    features = window.states(tiny_model)[-1]
    weights = pooled(writing(tiny_model, features, window.initial(tiny_model), tokens))
    np.testing.assert_allclose(unpacked(shown["attention"], weights.shape), weights, atol=0.004)
    assert [tuple(pair) for pair in found["alignment_heads"]] == alignment_heads(tiny_model)
    assert shown["text"] == window.result.text
