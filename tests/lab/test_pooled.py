"""Codes pooled after the SAE or before it are what the SAE says of those frames, and units keep their columns."""

import numpy as np
import pytest
import torch

from whisper_steer.data.clips import Clip
from whisper_steer.lab.frames import Frames
from whisper_steer.lab.pooled import Features, encode, frame_codes, pooled_codes, pooled_dense
from whisper_steer.sae.model import SAE, SAEConfig


@pytest.fixture
def sae() -> SAE:
    return SAE(SAEConfig(8, 4), torch.Generator().manual_seed(0)).requires_grad_(False)


@pytest.fixture
def frames(rng: np.random.Generator) -> Frames:
    clips = [Clip("speech", "fit", str(i), np.zeros(1, np.float32)) for i in range(3)]
    return Frames(rng.standard_normal((9, 8)).astype(np.float16), np.repeat([0, 1, 2], [2, 3, 4]), clips)


def test_pooled_after_and_before(sae: SAE, frames: Frames) -> None:
    second = torch.from_numpy(frames.hidden[2:5]).float()
    z = sae.encode(second)
    after = pooled_codes(sae, frames).x[1]
    everything = sae.encode(torch.from_numpy(frames.hidden).float())
    assert pooled_codes(sae, frames).active == pytest.approx(int((everything > 0).sum()) / 9)
    assert np.allclose(after, torch.cat([z.mean(dim=0), z.amax(dim=0)]), atol=1e-6)
    assert np.allclose(pooled_codes(sae, frames, maxima=False).x[1], z.mean(dim=0), atol=1e-6)
    before = pooled_codes(sae, frames, "before").x[1]
    assert np.allclose(before, sae.encode(second.mean(dim=0)), atol=1e-5)
    assert np.allclose(
        pooled_dense(frames).x[1], torch.cat([second.mean(dim=0), second.amax(dim=0)]), atol=1e-3
    )
    assert np.allclose(frame_codes(sae, frames.hidden).x.toarray()[2:5], z, atol=1e-6)


def test_sparsity_keeps_the_strongest_latents(sae: SAE, frames: Frames) -> None:
    z = encode(sae, frames.hidden, sparsity=0.75)
    assert (torch.count_nonzero(z, dim=1) == 8).all()
    full = encode(sae, frames.hidden)  # no threshold was learned: all that are above 0
    assert torch.equal(z[z > 0], full[z > 0])
    assert (z.sum(dim=1) <= full.sum(dim=1)).all()


def test_a_unit_is_ranked_by_its_best_block_and_taken_with_all() -> None:
    y = np.array(["a", "a", "b", "b"])
    means, maxima = np.zeros((4, 3)), np.zeros((4, 3))
    means[:, 0], maxima[:, 2] = [0, 1, 1, 2], [0, 0.1, 5, 5.1]
    features = Features(np.hstack([means, maxima]), 3)
    assert features.ranked(np.arange(4), y).tolist() == [2, 0, 1]
    assert features.take(np.array([2])).tolist() == [[0, 0], [0, 0.1], [0, 5], [0, 5.1]]
