"""If these fail, a stream is heard otherwise than a recording of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import whisper

from whisper_steer.live.mel import MelStream


@pytest.mark.parametrize("chunk", [1, 7, 160, 512, 100_000])
def test_a_stream_has_the_spectrogram_of_whisper_however_it_is_cut(chunk: int) -> None:
    """A second and a half, but single samples only for a tenth of it, against openai-whisper's own function."""
    samples = np.random.default_rng(0).normal(0, 0.1, 1600 if chunk == 1 else 24_077).astype(np.float32)
    stream = MelStream(80, torch.device("cpu"))
    parts = [stream.feed(samples[i : i + chunk]) for i in range(0, len(samples), chunk)]
    made = sum(part.shape[1] for part in parts)
    assert made >= (len(samples) - 200) // 160
    raw = torch.cat([*parts, stream.finish()], dim=1)
    scaled = (torch.maximum(raw, raw.max() - 8.0) + 4.0) / 4.0
    expected = whisper.log_mel_spectrogram(samples, padding=400)[:, : len(samples) // 160]
    assert scaled.shape == expected.shape
    assert torch.allclose(scaled, expected, atol=1e-5)


def test_less_than_a_frame_is_none() -> None:
    stream = MelStream(80, torch.device("cpu"))
    assert stream.feed(np.zeros(100, np.float32)).shape == (80, 0)
    assert stream.finish().shape == (80, 0)
