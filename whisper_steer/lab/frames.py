"""Frames of audio clips at one hook point: what the laboratory's measures are taken on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError
from whisper_steer.lab.encoders import SpeechEncoder

BATCH = 8
"""clips that pass the encoder at a time"""


@dataclass
class Frames:
    """Activations of the first half minute of some clips, without the padding behind it."""

    hidden: np.ndarray
    """(n, n_state) float16"""
    clip: np.ndarray
    """(n,) int64: the clip that a frame is of, by its place in ``clips``"""
    clips: list[Clip]

    def of_clips(self, chosen: np.ndarray) -> np.ndarray:
        """(n,) bool: the frames of clips (m,) that are marked in a bool array."""
        return np.asarray(chosen)[self.clip]

    def batches(self, size: int = 4096) -> list[Tensor]:
        """All activations in order, float32, ``size`` frames at a time."""
        return [torch.from_numpy(self.hidden[i : i + size]).float() for i in range(0, len(self.hidden), size)]


def frames_of(encoder: SpeechEncoder, points: Sequence[str], clips: Sequence[Clip]) -> dict[str, Frames]:
    """Those of every clip at each hook point, all from one pass. Raises `DataError` where there are no clips."""
    if not clips:
        raise DataError("there are no clips to listen to: name others with --data, or another --split")
    hidden: dict[str, list[np.ndarray]] = {point: [] for point in points}
    clip: list[np.ndarray] = []
    bar = tqdm(total=len(clips), desc="encoder", unit="clip")
    for first in range(0, len(clips), BATCH):
        part = clips[first : first + BATCH]
        for i, found in enumerate(encoder.read([c.samples() for c in part], points), first):
            for point in points:
                hidden[point].append(found[point].half().cpu().numpy())
            clip.append(np.full(len(found[points[0]]), i, np.int64))
        bar.update(len(part))
    bar.close()
    index = np.concatenate(clip)
    return {point: Frames(np.concatenate(parts), index, list(clips)) for point, parts in hidden.items()}
