"""Frames to train SAEs on, from a pool that is renewed a quarter at a time.

A batch depends on its step alone: training that goes on after a kill sees the batches that it would have seen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lab.activations import frames

CHUNKS = 4
WINDOWS = 256
"""in a chunk, which is a quarter of the pool"""


class Pool:
    """Batches of the activations of all ``points``.

    ``mel``: log-mel windows (n, n_mels, 3000) on the encoder's device; ``content``: (n,) their frames of audio. All
    windows come up in a new order again and again.
    """

    def __init__(
        self, encoder: nn.Module, points: list[str], mel: Tensor, content: Tensor, batch: int, seed: int = 0
    ) -> None:
        self.encoder, self.points, self.mel, self.content = encoder, points, mel, content
        self.batch, self.seed = batch, seed
        self.windows = min(WINDOWS, len(mel))
        self._held: dict[int, tuple[int, Tensor]] = {}
        self.renewed_every = max(1, self._chunk(0).shape[1] // batch)
        """steps"""

    def batch_at(self, step: int) -> Tensor:
        """(points, batch, n_state) float32, of the chunk whose turn it is."""
        newest = CHUNKS - 1 + step // self.renewed_every
        chunk = self._chunk(newest - (newest - step) % CHUNKS)
        chosen = torch.randint(chunk.shape[1], (self.batch,), generator=self._generator(step))
        return chunk[:, chosen.to(chunk.device)].float()

    def mean(self) -> Tensor:
        """(points, n_state) of every seventh frame of what the pool holds at the start."""
        return torch.cat([self._chunk(number)[:, ::7] for number in range(CHUNKS)], dim=1).float().mean(dim=1)

    def _chunk(self, number: int) -> Tensor:
        """(points, m, n_state) float16 of the ``number``-th windows, in the place of the chunk four before."""
        place = number % CHUNKS
        if place not in self._held or self._held[place][0] != number:
            self._held.pop(place, None)
            chosen = self._order(number).to(self.mel.device)
            made = frames(
                self.encoder, self.mel[chosen], self.content[chosen], self.points, self._generator(number)
            )
            self._held[place] = (number, made)
        return self._held[place][1]

    def _order(self, number: int) -> Tensor:
        """Indices of the windows of a chunk: a piece of one permutation after another."""
        n, first = len(self.mel), number * self.windows
        last = first + self.windows
        found = []
        for epoch in range(first // n, -(-last // n)):
            order = torch.randperm(n, generator=self._generator(epoch))
            found.append(order[max(0, first - epoch * n) : last - epoch * n])
        return torch.cat(found)

    def _generator(self, number: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed * 1_000_003 + number)


__all__ = ["Pool"]
