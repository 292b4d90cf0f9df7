"""If these fail, training that goes on after a kill sees other frames, or some of the audio never comes up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
import torch

from whisper_steer.errors import FitError
from whisper_steer.sae.pool import Pool


class Numbered:
    """Windows whose frames are numbered through: (2 points, frames, 1)."""

    def __init__(self, rows: Sequence[int]) -> None:
        self.rows, self.device = np.array(rows), torch.device("cpu")
        self.asked: list[tuple[int, int]] = []

    def order(self, turn: int, seed: int) -> np.ndarray:
        return np.random.default_rng([seed, turn]).permutation(len(self.rows))

    def read(self, chosen: Sequence[int], turn: int) -> Iterable[torch.Tensor]:
        for i in chosen:
            self.asked.append((i, turn))
            first = int(self.rows[:i].sum())
            yield torch.arange(first, first + self.rows[i])[None, :, None].repeat(2, 1, 1).half()


ROWS = [100, 30, 70, 45, 100, 55, 100, 80, 20, 100]


def test_a_batch_depends_on_its_step_alone_and_points_stay_together() -> None:
    pool = Pool(Numbered(ROWS), batch=60, buffer=400, seed=3)
    walked = [pool.batch_at(step) for step in range(20)]
    assert walked[0].shape == (2, 60, 1) and walked[0].dtype == torch.float32
    for step in (0, 7, 19):
        assert torch.equal(Pool(Numbered(ROWS), batch=60, buffer=400, seed=3).batch_at(step), walked[step])
    assert all(torch.equal(batch[0], batch[1]) for batch in walked)
    assert not torch.equal(Pool(Numbered(ROWS), batch=60, buffer=400, seed=4).batch_at(0), walked[0])


def test_the_buffer_is_bounded_and_every_window_comes_up_once_a_turn() -> None:
    frames = Numbered(ROWS)
    pool = Pool(frames, batch=50, buffer=400, seed=0)
    assert pool.renewed_every == 2
    for step in range(40):
        pool.batch_at(step)
        assert sum(part.shape[1] for part in pool._held.values()) <= 400 + 4 * max(ROWS)
    turns = {turn: [i for i, t in frames.asked if t == turn] for turn in range(3)}
    assert sorted(turns[0]) == sorted(turns[1]) == list(range(10)) and turns[0] != turns[1]


def test_what_fits_is_read_once_and_drawn_evenly() -> None:
    frames = Numbered(ROWS)
    pool = Pool(frames, batch=350, buffer=700)
    drawn = torch.cat([pool.batch_at(step)[0, :, 0] for step in range(200)])
    assert len(frames.asked) == 10
    counts = torch.bincount(drawn.long(), minlength=700)
    assert int(counts.min()) > 50 and int(counts.max()) < 160
    assert pool.sample().shape == (2, 100, 1)


def test_less_audio_than_a_batch_is_told() -> None:
    with pytest.raises(FitError, match="fewer than one batch"):
        Pool(Numbered(ROWS), batch=701)
