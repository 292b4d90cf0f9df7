"""One pass of the encoder with its activations kept."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.models.hooks import hook_points, read_activations


@torch.no_grad()
def encoder_states(model: Whisper, mel: Tensor) -> Tensor:
    """The output of each block of the encoder through its last layer norm, for log-mel windows (n, mels, 3000):
    (blocks, n, 1500, n_state). The last is the encoder's own output (the encoder lens, arXiv 2508.15882)."""
    points = hook_points(model.encoder)
    found = read_activations(model.encoder, mel, points)
    ln_post: Any = model.encoder.ln_post
    return torch.stack([*(ln_post(found[point]) for point in points[:-2]), found["ln_post"]])
