"""openai-whisper's ``whisper.audio`` under this package's name: its constants and functions, any file being read.

`load_audio` and what reads a path through it need no ffmpeg binary. `load` and `spectrogram` are this package's own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import whisper.audio
from torch import Tensor
from whisper.audio import (
    CHUNK_LENGTH,
    FRAMES_PER_SECOND,
    HOP_LENGTH,
    N_FFT,
    N_FRAMES,
    N_SAMPLES,
    N_SAMPLES_PER_TOKEN,
    SAMPLE_RATE,
    TOKENS_PER_SECOND,
    mel_filters,
    pad_or_trim,
)

from whisper_steer.audio.load import load_audio


def log_mel_spectrogram(
    audio: str | Path | np.ndarray[Any, Any] | Tensor,
    n_mels: int = 80,
    padding: int = 0,
    device: str | torch.device | None = None,
) -> Tensor:
    """`whisper.log_mel_spectrogram`: (n_mels, frames) float32, a frame every 10 ms.

    ``audio``: samples (n,) at 16 kHz, taken as they are, or whatever path or address `load_audio` reads. Arrays may be
    of float64. Raises `AudioError` for what cannot be read.
    """
    if isinstance(audio, (str, Path)):
        audio = load_audio(audio)
    elif isinstance(audio, np.ndarray) and audio.dtype == np.float64:
        audio = audio.astype(np.float32)
    found: Tensor = whisper.audio.log_mel_spectrogram(audio, n_mels, padding, device)
    return found


__all__ = [
    "CHUNK_LENGTH",
    "FRAMES_PER_SECOND",
    "HOP_LENGTH",
    "N_FFT",
    "N_FRAMES",
    "N_SAMPLES",
    "N_SAMPLES_PER_TOKEN",
    "SAMPLE_RATE",
    "TOKENS_PER_SECOND",
    "load_audio",
    "log_mel_spectrogram",
    "mel_filters",
    "pad_or_trim",
]
