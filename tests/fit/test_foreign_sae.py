"""If these fail, an SAE from elsewhere steers with latents that were never active together, or at the wrong block."""

import numpy as np
import pytest
import torch
from helpers import random_sae

from whisper_steer.cli.fit import _calibration, _point_of
from whisper_steer.encoders.record import Activations
from whisper_steer.errors import UsageError
from whisper_steer.fit.edits import made_usable
from whisper_steer.sae.model import SAE


def recorded() -> Activations:
    hidden = np.random.default_rng(0).normal(size=(2, 1500, 32)).astype(np.float16) * 5
    return Activations(
        hidden, np.zeros((2, 1500), np.int8), np.full(2, 1500), np.array([True, False]), ["as recorded"] * 2
    )


def test_a_top_k_sae_is_calibrated_on_what_is_fitted_on_and_the_user_told() -> None:
    sae, told = made_usable(SAE.of(random_sae().state_dict(), 4, "topk"), recorded(), 0)
    h = torch.from_numpy(recorded().hidden).float().flatten(0, 1)
    assert int((sae.encode(h) > 0).sum()) == pytest.approx(4 * len(h), abs=4)
    assert sae.latents(torch.tensor([3])).bias.shape == (1,)
    (line,) = _calibration(told)
    assert "kept the 4 largest latents of each frame" in line
    assert "over 3000 frames" in line


def test_raw_inputs_come_to_norm_1_and_one_trained_here_stays() -> None:
    state = random_sae().state_dict() | {"mean": torch.zeros(32), "b_dec": torch.zeros(32)}
    sae, told = made_usable(SAE.of(state, 4, frame_norm=1.0), recorded(), 0)
    assert told is None and _calibration(told) == []
    h = torch.from_numpy(recorded().hidden[0]).float()
    assert float(sae.normalise(h)[0].norm(dim=1).mean()) == pytest.approx(1, abs=0.02)
    ours = SAE.of(random_sae().state_dict(), 4)
    assert made_usable(ours, recorded(), 0) == (ours, None)


def test_edits_are_where_the_sae_says_it_lies() -> None:
    sae = random_sae()
    assert (_point_of(None, None), _point_of(sae, None), _point_of(sae, "ln_post")) == (None, None, "ln_post")
    sae.about["hook_point"] = "blocks.5"
    assert _point_of(sae, None) == _point_of(sae, "blocks.5") == "blocks.5"
    with pytest.raises(UsageError, match="leave out --hook-point"):
        _point_of(sae, "blocks.6")
