"""Frames to train SAEs on, shuffled through a bounded buffer that is renewed a quarter at a time.

A batch depends on its step alone: training that goes on after a kill sees the batches that it would have seen.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from whisper_steer.errors import FitError
from whisper_steer.sae.windows import Frames

BUFFER = 250_000
"""frames of each hook point: 100 batches of 2,500 (arXiv 2602.05027)"""
PARTS = 4
SAMPLED = 7
"""of the frames that the buffer holds at the start one in so many is in the sample"""


class Pool:
    """Batches of ``batch`` frames of the activations at all points.

    Where the buffer has room for all frames they are read once. Else its parts follow one another through the windows,
    which come up in a new order in each turn; a part is replaced when as many frames were drawn as it holds.
    """

    def __init__(self, frames: Frames, batch: int, buffer: int = BUFFER, seed: int = 0) -> None:
        self.frames, self.batch, self.seed = frames, batch, seed
        self.total = int(frames.rows.sum())
        if self.total < batch:
            raise FitError(
                f"{self.total} frames of audio are fewer than one batch of {batch}: give more audio"
            )
        self.parts = 1 if self.total <= buffer else PARTS
        self.part_frames = self.total if self.parts == 1 else buffer // PARTS
        self.renewed_every = max(1, self.part_frames // batch)
        """steps"""
        self._held: dict[int, Tensor] = {}

    def batch_at(self, step: int) -> Tensor:
        """(points, batch, n_state) float32."""
        oldest = 0 if self.parts == 1 else step // self.renewed_every
        parts = self._parts(oldest)
        bounds = np.cumsum([0, *(part.shape[1] for part in parts)])
        drawn = np.random.default_rng([self.seed, 1, step]).integers(bounds[-1], size=self.batch)
        found = parts[0].new_empty(len(parts[0]), self.batch, parts[0].shape[2])
        for part, first, end in zip(parts, bounds, bounds[1:], strict=False):
            places = np.flatnonzero((drawn >= first) & (drawn < end))
            rows = torch.from_numpy(drawn[places] - first).to(part.device)
            found[:, torch.from_numpy(places).to(part.device)] = part[:, rows]
        return found.float()

    def sample(self) -> Tensor:
        """(points, frames, n_state) float16 of what the buffer holds at the start."""
        return torch.cat([part[:, ::SAMPLED] for part in self._parts(0)], dim=1)

    def windows_of(self, number: int) -> list[tuple[int, int]]:
        """The ``number``-th part of the windows, as (window, turn): those that begin in its piece of the stream of all
        turns."""
        first, found = number * self.part_frames, []
        for turn in range(first // self.total, (first + self.part_frames - 1) // self.total + 1):
            order = self.frames.order(turn, self.seed)
            starts = np.cumsum(self.frames.rows[order]) - self.frames.rows[order] + turn * self.total
            inside = (starts >= first) & (starts < first + self.part_frames)
            found += [(int(window), turn) for window in order[inside]]
        return found

    def _parts(self, oldest: int) -> list[Tensor]:
        wanted = range(oldest, oldest + self.parts)
        for number in [n for n in self._held if n not in wanted]:
            del self._held[number]
        for number in wanted:
            if number not in self._held:
                chosen = self.windows_of(number)
                turns = dict.fromkeys(turn for _, turn in chosen)
                read = [
                    hidden
                    for turn in turns
                    for hidden in self.frames.read([window for window, each in chosen if each == turn], turn)
                ]
                self._held[number] = torch.cat(read, dim=1)
        return [self._held[number] for number in wanted]
