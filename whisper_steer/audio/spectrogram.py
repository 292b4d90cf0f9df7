"""The log-mel spectrogram of a recording of any length, to the bit what `whisper.log_mel_spectrogram` gives.

Stock transforms the whole recording at once, which takes some 18 times the memory of its samples. Here blocks of a
minute are transformed one after another, and what is longer than `LONG` lies in a temporary file, of which the
operating system keeps in memory what is in use.
"""

from __future__ import annotations

import math
import tempfile
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from whisper.audio import HOP_LENGTH, N_FFT, N_FRAMES, N_SAMPLES, SAMPLE_RATE, mel_filters

from whisper_steer.errors import AudioError
from whisper_steer.files.disk import allocate

LONG = 20 * 60 * SAMPLE_RATE
"""samples; what is longer is kept in a temporary file"""
BLOCK = 6000
"""frames of 10 ms transformed at a time"""


def temporary_file() -> BinaryIO:
    """An open file without a name, which goes when it is closed. Raises `AudioError`."""
    try:
        return tempfile.TemporaryFile(prefix="whisper-steer-")
    except OSError as error:
        raise AudioError(
            f"no temporary file for a long recording ({error.strerror}): set TMPDIR to a folder with room"
        ) from None


def reserve(file: BinaryIO, size: int) -> None:
    """Make room for ``size`` bytes in a temporary file. Raises `AudioError` where the disk has none."""
    try:
        allocate(file, size)
    except OSError as error:
        raise AudioError(f"no room for a long recording in {error.filename}: {error.strerror}") from None


def file_backed(shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """A float32 array of zeros in a temporary file that goes with it. Raises `AudioError` where there is no room."""
    with temporary_file() as file:
        reserve(file, math.prod(shape) * np.dtype(np.float32).itemsize)
        return np.memmap(file, np.float32, "r+", shape=shape)


def log_mel_spectrogram(
    audio: npt.NDArray[np.float32] | Tensor,
    n_mels: int = 80,
    padding: int = 0,
    device: str | torch.device | None = None,
) -> Tensor:
    """(n_mels, (n + padding) // 160) float32 of samples (n,) at 16 kHz, with ``padding`` zeros behind them.

    Raises `AudioError` where a long one finds no room in the temporary folder.
    """
    samples = torch.as_tensor(audio, device=device)
    n = len(samples) + padding
    frames = n // HOP_LENGTH
    edge = N_FFT // 2
    window = torch.hann_window(N_FFT, device=samples.device)
    filters = mel_filters(samples.device, n_mels)
    if n > LONG and samples.device.type == "cpu":
        mel = torch.from_numpy(file_backed((n_mels, frames)))
    else:
        mel = torch.empty(n_mels, frames, device=samples.device)
    top = torch.tensor(-torch.inf, device=samples.device)
    for first in range(0, frames, BLOCK):
        last = min(first + BLOCK, frames)
        part = _reflected(samples, n, first * HOP_LENGTH - edge, (last - 1) * HOP_LENGTH + edge)
        transform = torch.stft(part, N_FFT, HOP_LENGTH, window=window, center=False, return_complex=True)
        mel[:, first:last] = (filters @ transform.abs() ** 2).clamp(min=1e-10).log10()
        top = torch.maximum(top, mel[:, first:last].max())
    for first in range(0, frames, BLOCK):
        part = mel[:, first : first + BLOCK]
        part.copy_((torch.maximum(part, top - 8.0) + 4.0) / 4.0)
    return mel


def window_mel(samples: npt.NDArray[np.float32] | Tensor, n_mels: int = 80) -> Tensor:
    """The log-mel window (n_mels, 3000) of at most 30 s of samples, by itself, on their device.

    Of a recording that is no longer, it is stock's first window to the bit: what lies behind the audio is 0 in the
    log-mel, which is not what the log-mel of silence is.
    """
    samples = torch.as_tensor(samples)[:N_SAMPLES]
    mel = log_mel_spectrogram(samples, n_mels, padding=N_FFT)[:, : len(samples) // HOP_LENGTH]
    return torch.nn.functional.pad(mel, (0, N_FRAMES - mel.shape[1]))


def _reflected(samples: Tensor, n: int, start: int, end: int) -> Tensor:
    """Samples [start, end) of a signal of n >= 400 that is ``samples`` and zeros, mirrored at both ends."""
    inside = samples[max(start, 0) : max(min(end, n), 0)]
    part = torch.nn.functional.pad(inside, (0, min(end, n) - max(start, 0) - len(inside)))
    before, after = max(-start, 0), max(end - n, 0)
    if before or after:
        part = torch.nn.functional.pad(part[None], (before, after), mode="reflect")[0]
    return part


__all__ = ["LONG", "file_backed", "log_mel_spectrogram", "reserve", "temporary_file", "window_mel"]
