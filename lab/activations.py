"""What the encoder makes of many windows, computed where the training is and kept there."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from lab.scenes import Made
from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.labels import FRAME_SAMPLES, FRAMES
from whisper_steer.encoders.hooks import read_activations
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.gate.kinds import FRAMES_PER_STEP, steps_of

BATCH = 32
"""windows that pass the encoder at a time"""
PADDING_SHARE = 0.05
"""of the frames behind the audio that SAEs are trained on"""


def mels(made: Made, n_mels: int, device: torch.device) -> Tensor:
    """Log-mel windows (n, n_mels, 3000) float16 of all windows, on ``device``: half a megabyte each."""
    found = torch.empty(len(made), n_mels, 3000, dtype=torch.float16, device=device)
    for i in tqdm(range(len(made)), desc="mels", unit="window"):
        samples = np.array(made.samples[i, : made.content[i] * FRAME_SAMPLES])
        found[i] = window_mel(torch.from_numpy(samples).to(device), n_mels)
    return found


def steps(prefix: Prefix, mel: Tensor) -> Tensor:
    """Steps (n, 750, n_state) float16 of log-mel windows (n, n_mels, 3000), on the encoder's device."""
    n_state = int(prefix.encoder.conv1.out_channels)
    shape = (len(mel), FRAMES // FRAMES_PER_STEP, n_state)
    found = torch.empty(shape, dtype=torch.float16, device=prefix.device)
    for first in tqdm(range(0, len(mel), BATCH), desc="encoder", unit="batch"):
        found[first : first + BATCH] = steps_of(prefix(mel[first : first + BATCH]))
    return found


def frames(
    encoder: nn.Module, mel: Tensor, content: Tensor, points: list[str], generator: torch.Generator
) -> Tensor:
    """Activations (points, m, n_state) float16 of the frames of audio, and of a few of the padding behind it.

    ``mel``: (n, n_mels, 3000); ``content``: (n,) frames of audio.
    """
    drawn = (torch.rand(len(mel), FRAMES, generator=generator) < PADDING_SHARE).to(mel.device)
    keep = drawn | (torch.arange(FRAMES, device=mel.device) < content[:, None])
    found = []
    for part, kept in zip(mel.split(BATCH), keep.split(BATCH), strict=True):
        read = read_activations(encoder, part.float(), points)
        found.append(torch.stack([read[point][kept].half() for point in points]))
    return torch.cat(found, dim=1)
