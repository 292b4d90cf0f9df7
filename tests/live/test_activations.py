"""If these fail, the gate judges a stream by other activations than those it was fitted on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from whisper.model import Whisper

from whisper_steer.encoders.prefix import Prefix
from whisper_steer.live.activations import KEPT, REFRESHED, WINDOW, RecentActivations


@pytest.fixture(scope="module")
def mel() -> torch.Tensor:
    """(80, 8000) of random raw log-mel, 80 s."""
    return torch.from_numpy(np.random.default_rng(0).normal(-2, 0.7, (80, 8000)).astype(np.float32))


def embedded(prefix: Prefix, raw: torch.Tensor, top: float, positions: int) -> torch.Tensor:
    """By stock's own modules: (positions, n_state) of a window that begins with the mel."""
    encoder = prefix.encoder
    scaled = (torch.maximum(raw, torch.tensor(top - 8.0)) + 4.0) / 4.0
    with torch.no_grad():
        x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(scaled[None]))))[0].T[:positions]
    return x + encoder.positional_embedding[:positions]


def fed(prefix: Prefix, mel: torch.Tensor, hop: int) -> RecentActivations:
    recent = RecentActivations(prefix)
    for start in range(0, mel.shape[1], hop):
        recent.feed(mel[:, start : start + hop])
    return recent


@pytest.mark.parametrize("hop", [1, 20, 33])
def test_the_first_block_gives_what_the_whole_window_so_far_gives(
    tiny_model: Whisper, mel: torch.Tensor, hop: int
) -> None:
    prefix = Prefix(tiny_model.encoder, "blocks.0")
    raw = mel[:, :330]
    first, found = fed(prefix, raw, hop).newest(REFRESHED)
    x = embedded(prefix, raw, float(raw.max()), 164)[None]
    expected = prefix.from_embedding(x)[0][first : first + len(found)]
    assert (first % 2, len(found) % 2) == (0, 0) and first + len(found) == 164
    assert torch.allclose(found, expected, atol=1e-4)


def test_what_louder_audio_does_to_the_scale_is_done_to_all_of_the_window(
    tiny_model: Whisper, mel: torch.Tensor
) -> None:
    """After digital silence the scale is another: stock's spectrogram of the same half minute is floored anew."""
    prefix = Prefix(tiny_model.encoder, "blocks.0")
    raw = mel[:, :330].clone()
    raw[:, :165] = -10.0
    first, found = fed(prefix, raw, 20).newest(REFRESHED)
    x = embedded(prefix, raw, float(raw[:, :320].max()), 164)[None]
    expected = prefix.from_embedding(x)[0][first : first + len(found)]
    assert torch.allclose(found, expected, atol=2e-2)
    unscaled = prefix.from_embedding(embedded(prefix, raw, -10.0, 164)[None])[0][first : first + len(found)]
    assert not torch.allclose(found, unscaled, atol=2e-2)


def test_a_full_window_gives_way_to_one_that_begins_with_the_last_seconds(
    tiny_model: Whisper, mel: torch.Tensor
) -> None:
    """Of 80 s the activations at the end are those of a window by itself, and no buffer has grown."""
    prefix = Prefix(tiny_model.encoder, "blocks.0")
    recent = fed(prefix, mel, 20)
    first, found = recent.newest(REFRESHED - 2)
    assert first + len(found) == 3998
    held = [value for value in vars(recent).values() if isinstance(value, torch.Tensor)]
    assert max(len(value) for value in held) <= WINDOW and recent._mel.shape[1] <= 2 * WINDOW + 2
    place = recent._start
    assert KEPT <= 3998 - place <= WINDOW
    raw = mel[:, 2 * place :]
    x = embedded(prefix, raw, recent._top, 3999 - place)[None]
    assert torch.allclose(found, prefix.from_embedding(x)[0][-len(found) - 1 : -1], atol=1e-3)


def test_later_blocks_are_near_what_the_whole_window_gives(tiny_model: Whisper, mel: torch.Tensor) -> None:
    """The newest positions there rest on older ones that have not seen them."""
    prefix = Prefix(tiny_model.encoder, "ln_post")
    raw = mel[:, :330]
    first, found = fed(prefix, raw, 20).newest(REFRESHED)
    expected = prefix.from_embedding(embedded(prefix, raw, float(raw.max()), 164)[None])[0][first:164]
    assert float(F.cosine_similarity(found, expected).min()) > 0.98
