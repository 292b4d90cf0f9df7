"""One pass of the encoder or the decoder with its activations kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.models.hooks import Edit, hook_points, hooked, read_activations


@torch.no_grad()
def encoder_states(model: Whisper, mel: Tensor) -> Tensor:
    """The output of each block of the encoder through its last layer norm, for log-mel windows (n, mels, 3000):
    (blocks, n, 1500, n_state). The last is the encoder's own output (the encoder lens, arXiv 2508.15882)."""
    points = hook_points(model.encoder)
    found = read_activations(model.encoder, mel, points)
    ln_post: Any = model.encoder.ln_post
    return torch.stack([*(ln_post(found[point]) for point in points[:-2]), found["ln_post"]])


@torch.no_grad()
def decoder_activations(
    model: Whisper, features: Tensor, tokens: Sequence[int], points: Sequence[str]
) -> dict[str, Tensor]:
    """Activations (positions or frames, n_state) at hook points of the decoder, for one window's encoder output (1500,
    n_state) and the tokens that go in."""
    found: dict[str, Tensor] = {}

    def reader(point: str) -> Edit:
        def read(hidden: Tensor) -> None:
            found[point] = hidden[0]

        return read

    with hooked(model.decoder, *((point, reader(point)) for point in points)):
        model.decoder(torch.tensor([list(tokens)], device=features.device), features[None])
    return found
