"""If these fail, the bench measures another decoder than openai-whisper's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import whisper
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.errors import UsageError
from whisper_steer.eval.curves.greedy import OPTIONS, Greedy
from whisper_steer.sounds import generate


def check(model: Whisper, features: torch.Tensor, mode: str, sample_len: int) -> list[str]:
    found = Greedy(model, mode, features.dtype)(features, sample_len)  # type: ignore[arg-type]
    options = whisper.DecodingOptions(
        language="en", length_penalty=0.0, fp16=False, sample_len=sample_len, **OPTIONS[mode]
    )
    expected = whisper.decode(model, features, options)
    assert [each.tokens for each in found] == [each.tokens for each in expected]
    assert [each.text for each in found] == [each.text for each in expected]
    for name in ("avg_logprob", "no_speech_prob", "compression_ratio"):
        values = [[getattr(each, name) for each in results] for results in (found, expected)]
        np.testing.assert_allclose(*values, rtol=1e-3, atol=1e-4)
    return [each.text for each in found]


@pytest.mark.parametrize("mode", OPTIONS)
@torch.no_grad()
def test_the_genuine_model_writes_what_stock_writes(tiny_en: Whisper, spoken: np.ndarray, mode: str) -> None:
    """Speech of several lengths, noise and silence in one batch: they end at different steps."""
    clips = [spoken[: 16000 * s] for s in (2, 20)] + [generate(n, 3.0, 0) for n in ("white_noise", "rain")]
    mel = torch.stack([window_mel(clip) for clip in [*clips, np.zeros(16000, np.float32)]])
    texts = check(tiny_en, tiny_en.encoder(mel), mode, 40)
    assert len(texts[1]) > len(texts[0]) > 0


@pytest.mark.parametrize("mode", OPTIONS)
@torch.no_grad()
def test_a_model_that_babbles_up_to_the_end_of_its_context(tiny_model: Whisper, mode: str) -> None:
    features = tiny_model.encoder(torch.randn(5, 80, 3000, generator=torch.Generator().manual_seed(0)))
    check(tiny_model, features, mode, 1000)
    check(tiny_model, features, mode, 1)


@torch.no_grad()
def test_a_multilingual_model_is_asked_for_english(multilingual_path: object) -> None:
    model = whisper.load_model(str(multilingual_path), device="cpu")
    features = model.encoder(torch.randn(3, 80, 3000, generator=torch.Generator().manual_seed(0)))
    check(model, features, "stock", 20)


def test_an_unknown_mode_is_said(tiny_model: Whisper) -> None:
    with pytest.raises(UsageError, match="ban-lifted, stock"):
        Greedy(tiny_model, "loud", torch.float32)  # type: ignore[arg-type]
