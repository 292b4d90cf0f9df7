"""Activations of windows on disk, each made once: named by the encoder's weights, the hook point and the audio.

What was recorded for other clips, another model or another point is never taken for what is asked now.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from whisper_steer.files.disk import allocate, write_whole
from whisper_steer.sae.windows import BATCH, Heard

FLUSH_EVERY = 4
"""batches of windows"""


class Recorded:
    """The activations of ``heard`` in a folder, which is filled here as far as it was not before.

    Of each point: POINT-DIGEST.frames, (frames, n_state) float16, and .json, how many frames each window gave. Noise
    that is mixed in is that of the first turn. Raises `OSError` where the disk has no room.
    """

    def __init__(self, heard: Heard, folder: Path) -> None:
        self.rows, self.device, self.order = heard.rows, heard.device, heard.order
        self._ends = np.cumsum(self.rows)
        folder.mkdir(parents=True, exist_ok=True)
        stems = {point: folder / f"{point}-{heard.digest(point)}" for point in heard.points}
        shape = int(self._ends[-1]), heard.encoder.n_state
        self._arrays = [_array(stem.with_name(f"{stem.name}.frames"), shape) for stem in stems.values()]
        states = [stem.with_name(f"{stem.name}.json") for stem in stems.values()]
        done = [json.loads(path.read_text()) if path.is_file() else [] for path in states]
        self._counts: list[int] = min(done, key=len)
        self._record(heard, states)

    def read(self, chosen: Sequence[int], turn: int) -> Iterable[Tensor]:
        for i in chosen:
            first = self._ends[i] - self.rows[i]
            found = np.stack([array[first : first + self._counts[i]] for array in self._arrays])
            yield torch.from_numpy(found).to(self.device)

    def _record(self, heard: Heard, states: list[Path]) -> None:
        n, first = len(self.rows), len(self._counts)
        rest = heard.read(range(first, n), 0)
        for i, hidden in enumerate(
            tqdm(rest, "encoder", n, initial=first, unit="window", disable=first == n), first
        ):
            place = self._ends[i] - self.rows[i]
            for array, part in zip(self._arrays, hidden.cpu().numpy(), strict=True):
                array[place : place + len(part)] = part
            self._counts.append(hidden.shape[1])
            if (i + 1) % (BATCH * FLUSH_EVERY) == 0 or i == n - 1:
                for array, path in zip(self._arrays, states, strict=True):
                    array.flush()
                    write_whole(path, json.dumps(self._counts))


def _array(path: Path, shape: tuple[int, int]) -> np.memmap[Any, np.dtype[np.float16]]:
    with path.open("ab") as file:
        allocate(file, shape[0] * shape[1] * 2)
    return np.memmap(path, np.float16, "r+", shape=shape)
