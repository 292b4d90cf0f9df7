"""If these fail, frames are counted to other clips than those they are of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError
from whisper_steer.lab import frames
from whisper_steer.lab.encoders import open_encoder
from whisper_steer.lab.frames import frames_of


def test_frames_know_their_clips(tiny_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "BATCH", 2)
    rng = np.random.default_rng(0)
    sounds = [0.1 * rng.standard_normal(n).astype(np.float32) for n in (8_000, 3_200, 16_000)]
    clips = [Clip("nonspeech", "fit", f"g{i}", sound, id=f"{i}") for i, sound in enumerate(sounds)]
    encoder = open_encoder(tiny_path, "cpu")
    found = frames_of(encoder, ["blocks.0", "ln_post"], clips)
    for point, of in found.items():
        assert of.hidden.shape == (25 + 10 + 50, 32) and of.hidden.dtype == np.float16
        assert np.bincount(of.clip).tolist() == [25, 10, 50] and of.clips == clips
        (second,) = encoder.read([sounds[1]], [point])
        own = torch.from_numpy(of.hidden[of.of_clips(np.array([False, True, False]))]).float()
        torch.testing.assert_close(own, second[point], atol=3e-3, rtol=3e-3)
        assert torch.equal(torch.cat(of.batches(30)), torch.from_numpy(of.hidden).float())


def test_no_clips_are_told(tiny_path: Path) -> None:
    with pytest.raises(DataError, match="no clips"):
        frames_of(open_encoder(tiny_path, "cpu"), ["blocks.0"], [])
