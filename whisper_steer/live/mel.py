"""The log-mel of a stream, frame by frame as samples come: that of `whisper.log_mel_spectrogram` before its scaling.

Scaling needs the loudest place of a window, which only whoever holds the window knows.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from whisper.audio import HOP_LENGTH, N_FFT, mel_filters

from whisper_steer.data.clips import Audio

EDGE = N_FFT // 2
"""samples around the centre of a frame"""


class MelStream:
    """Samples at 16 kHz -> log10 of the mel power, a frame every 10 ms, 12.5 ms behind the samples."""

    def __init__(self, n_mels: int, device: torch.device) -> None:
        self._filters = mel_filters(device, n_mels)
        self._window = torch.hann_window(N_FFT, device=device)
        self._samples: Audio = np.zeros(0, np.float32)
        self._mirrored = False
        self._fed = self._made = 0

    def feed(self, samples: Audio) -> Tensor:
        """(n,) float32 -> (n_mels, k) float32 of the frames that are now complete; k may be 0."""
        self._fed += len(samples)
        return self._frames(samples)

    def finish(self) -> Tensor:
        """(n_mels, k): the frames that only the end of the stream completes, as if zeros followed it."""
        missing = max(0, self._fed // HOP_LENGTH - self._made)
        return self._frames(np.zeros(N_FFT, np.float32))[:, :missing]

    def _frames(self, samples: Audio) -> Tensor:
        held = self._samples = np.concatenate([self._samples, samples])
        if not self._mirrored and len(held) > EDGE:  # stock mirrors the beginning
            held = self._samples = np.concatenate([held[EDGE:0:-1], held])
            self._mirrored = True
        n = 1 + (len(held) - N_FFT) // HOP_LENGTH if self._mirrored else 0
        if n <= 0:
            return self._filters.new_empty(len(self._filters), 0)
        self._samples = held[n * HOP_LENGTH :]
        part = torch.from_numpy(held[: (n - 1) * HOP_LENGTH + N_FFT]).to(self._filters.device)
        transform = torch.stft(
            part, N_FFT, HOP_LENGTH, window=self._window, center=False, return_complex=True
        )
        self._made += n
        return (self._filters @ transform.abs() ** 2).clamp(min=1e-10).log10()
