"""Windows of at most 30 s of audio clips, and the activations that an encoder makes of them.

Of Whisper, which always hears half a minute, a few frames of the padding behind the audio are kept as well: steering
and reconstructions meet them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from whisper.audio import N_SAMPLES

from whisper_steer.data.clips import Audio, Clip
from whisper_steer.errors import DataError
from whisper_steer.lab.encoders import FRAME_SAMPLES, SpeechEncoder, WhisperEncoder
from whisper_steer.sae.augment import Augment

FRAMES = N_SAMPLES // FRAME_SAMPLES
PADDING_EVERY = 20
"""of the frames behind the audio one in so many is kept"""
SHORTEST = FRAME_SAMPLES * 5
"""samples: a rest of a long clip that is shorter is left out"""
BATCH = 8
"""windows that pass the encoder at a time"""
CLIPS = 32
"""that are read at a time"""
LEAST = 400
"""samples that HuBERT's convolutions need for one frame"""


@dataclass(frozen=True)
class Window:
    """A part of a clip."""

    clip: Clip
    start: int
    """samples"""
    frames: int
    """of audio, as far as the clip's length is known to be right"""


class Frames(Protocol):
    """Activations of numbered windows."""

    rows: np.ndarray
    """(windows,) int64: the most frames that each gives"""
    device: torch.device

    def order(self, turn: int, seed: int) -> np.ndarray:
        """The windows in the order of one turn through all of them; those of a clip together."""
        ...

    def read(self, chosen: Sequence[int], turn: int) -> Iterable[Tensor]:
        """(points, frames, n_state) float16 of each window, on ``device``."""
        ...


class Heard:
    """Activations as an encoder makes them, at each of ``points``, every time anew.

    ``augment``: noise and music that is mixed in, drawn anew in each turn.
    """

    def __init__(
        self,
        encoder: SpeechEncoder,
        points: Sequence[str],
        clips: Sequence[Clip],
        augment: Augment | None = None,
    ) -> None:
        self.encoder, self.points, self.augment = encoder, list(points), augment
        self.windows = [window for clip in clips for window in cut(clip)]
        if not self.windows:
            raise DataError("there is no audio to read: name other clips with --data")
        self.device = encoder.device
        padded = isinstance(encoder, WhisperEncoder)
        self.rows = np.array([len(_kept(each.frames, padded)) for each in self.windows])
        starts = [i for i, each in enumerate(self.windows) if each.start == 0]
        self._of_clip = np.split(np.arange(len(self.windows)), starts[1:])

    def order(self, turn: int, seed: int) -> np.ndarray:
        mixed = np.random.default_rng([seed, turn]).permutation(len(self._of_clip))
        return np.concatenate([self._of_clip[i] for i in mixed])

    def read(self, chosen: Sequence[int], turn: int) -> Iterable[Tensor]:
        clips = [list(part) for _, part in groupby(chosen, lambda i: id(self.windows[i].clip))]
        with ThreadPoolExecutor() as threads:
            waiting: list[tuple[int, Audio]] = []
            for first in range(0, len(clips), CLIPS):
                for part in threads.map(lambda part: self._samples(part, turn), clips[first : first + CLIPS]):
                    waiting += part
                    while len(waiting) >= BATCH:
                        yield from self._activations(waiting[:BATCH])
                        waiting = waiting[BATCH:]
            if waiting:
                yield from self._activations(waiting)

    def digest(self, point: str) -> str:
        """20 hex digits of all that the activations at a point depend on, but for the turn."""
        audio = [[each.clip.identity(), each.start, each.frames] for each in self.windows]
        mixed = None if self.augment is None else self.augment.identity()
        depends = [self.encoder.fingerprint, point, PADDING_EVERY, mixed, audio]
        return hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:20]

    def _samples(self, chosen: list[int], turn: int) -> list[tuple[int, Audio]]:
        """Of windows of one clip, which is read once; those that it has not the length for are left out."""
        whole = self.windows[chosen[0]].clip.samples()
        found = []
        for i in chosen:
            start = self.windows[i].start
            samples = np.array(whole[start : start + N_SAMPLES])
            if self.augment is not None:
                samples = self.augment(samples, i, turn)
            found.append((i, samples))
        return found

    def _activations(self, read: list[tuple[int, Audio]]) -> Iterable[Tensor]:
        windows = [samples for _, samples in read]
        if isinstance(self.encoder, WhisperEncoder):
            found = self.encoder.whole(windows, self.points)
            stacked = torch.stack([found[point] for point in self.points], dim=1).half()
            for (i, samples), hidden in zip(read, stacked, strict=True):
                frames = min(self.windows[i].frames, max(1, len(samples) // FRAME_SAMPLES))
                yield hidden[:, torch.tensor(_kept(frames, True)[: self.rows[i]], device=hidden.device)]
        else:
            windows = [np.pad(each, (0, max(0, LEAST - len(each)))) for each in windows]
            for (i, _), by_point in zip(read, self.encoder.read(windows, self.points), strict=True):
                yield torch.stack([by_point[point] for point in self.points])[:, : self.rows[i]].half()


def cut(clip: Clip) -> list[Window]:
    """The windows of a clip, one behind another. Where its length is not known it is read."""
    n = round(clip.seconds * 16000) or len(clip.samples())
    starts = [start for start in range(0, n, N_SAMPLES) if start == 0 or n - start >= SHORTEST]
    return [Window(clip, start, max(1, min(n - start, N_SAMPLES) // FRAME_SAMPLES)) for start in starts]


def _kept(frames: int, padded: bool) -> list[int]:
    """The frames of a window that are kept, by their places."""
    return [*range(frames), *(range(frames, FRAMES, PADDING_EVERY) if padded else ())]
