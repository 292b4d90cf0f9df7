"""If these fail, training that goes on after a kill sees other frames, or some windows never come up."""

from pathlib import Path

import pytest
import torch
from whisper.model import Whisper

from lab import pool
from lab.activations import mels
from lab.scenes import read


def test_a_batch_depends_on_its_step_alone_and_every_window_comes_up(
    tiny_model: Whisper, scene_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "WINDOWS", 2)
    made = read(scene_folder, "fit")
    mel, content = mels(made, 80, torch.device("cpu")), torch.from_numpy(made.content.copy()).long()

    def fresh() -> pool.Pool:
        return pool.Pool(tiny_model.encoder, ["blocks.0", "ln_post"], mel, content, batch=1000)

    walked, step = fresh(), 0
    while step < 6 * walked.renewed_every:
        batch, step = walked.batch_at(step), step + 1
    assert batch.shape == (2, 1000, 32) and batch.dtype == torch.float32
    assert torch.equal(fresh().batch_at(step - 1), batch)
    order = [int(i) for number in range(7) for i in walked._order(number)]
    assert sorted(order[:7]) == sorted(order[7:]) == list(range(7))
