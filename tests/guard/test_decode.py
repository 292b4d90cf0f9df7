"""If these fail, text that does not loop changes, a loop stays, or nobody is told that one was mended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from whisper.decoding import DecodingOptions
from whisper.model import Whisper

import whisper_steer
from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.guard.decode import decode
from whisper_steer.guard.loops import first
from whisper_steer.sounds import generate

OPTIONS = DecodingOptions(language="en", fp16=False)


@pytest.fixture(scope="module")
def alarm() -> np.ndarray:
    """Half a minute on which tiny.en writes one sentence until its tokens run out."""
    return np.resize(generate("alarm", 2.0, 0), 30 * 16000).astype(np.float32)


@pytest.fixture(scope="module")
def looping(tiny_en: Whisper, alarm: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        features: torch.Tensor = tiny_en.encoder(window_mel(alarm)[None])[0]
    return features


def has_loop(tokens: list[int]) -> bool:
    return first(tokens, 50363) is not None


def test_a_loop_is_mended(tiny_en: Whisper, looping: torch.Tensor) -> None:
    """Greedy decoding and beam search; the first unit stays."""
    for options in (OPTIONS, replace(OPTIONS, beam_size=2, sample_len=60)):
        stock = whisper.decode(tiny_en, looping, replace(options, sample_len=60))
        found, unit = decode(tiny_en, looping, options)
        assert (unit is not None) == has_loop(stock.tokens)
        assert not has_loop(found.tokens)
        assert found.compression_ratio < 2.4
        if unit:
            assert found.tokens[:4] == stock.tokens[:4]
            assert found.no_speech_prob == stock.no_speech_prob
    assert has_loop(whisper.decode(tiny_en, looping, replace(OPTIONS, sample_len=60)).tokens)


def test_speech_is_stocks_to_the_bit(tiny_en: Whisper, spoken: np.ndarray) -> None:
    with torch.no_grad():
        features = tiny_en.encoder(window_mel(spoken)[None])[0]
    found, unit = decode(tiny_en, features, OPTIONS)
    stock = whisper.decode(tiny_en, features, OPTIONS)
    assert unit is None
    for name in ("tokens", "text", "avg_logprob", "no_speech_prob", "compression_ratio", "temperature"):
        assert getattr(found, name) == getattr(stock, name)


def test_a_segment_says_that_a_loop_was_mended(tiny_en: Whisper, alarm: np.ndarray) -> None:
    """On where it is asked for; without steering it is off."""
    options: dict[str, Any] = {"fp16": False, "temperature": 0.0, "no_speech_threshold": None}
    found = whisper_steer.transcribe(tiny_en, alarm, steering=None, repetition_guard=True, **options)
    assert found["segments"]
    assert found["segments"][0]["steering"] == {"loop_mended": True}
    texts = [segment["text"] for segment in found["segments"]]
    assert max(map(texts.count, texts)) <= 2  # nor does it go on from window to window
    stock = whisper_steer.transcribe(tiny_en, alarm, steering=None, **{**options, "sample_len": 60})
    assert has_loop([token for segment in stock["segments"] for token in segment["tokens"]])
    assert all("steering" not in segment for segment in stock["segments"])


def test_half_precision_as_on_a_gpu(tiny_en: Whisper, spoken: np.ndarray, looping: torch.Tensor) -> None:
    """Openai-whisper's fp16, which a CPU can do as well, slowly: stock's tokens, and a loop is mended."""
    half = replace(OPTIONS, fp16=True)
    with torch.no_grad():
        features = tiny_en.encoder(window_mel(spoken)[None])[0].half()
    found, unit = decode(tiny_en, features, half)
    assert unit is None
    assert found.tokens == whisper.decode(tiny_en, features, half).tokens
    found, unit = decode(tiny_en, looping.half(), half)
    assert unit is not None
    assert not has_loop(found.tokens)
