"""Steering without hooks: written into the encoder's weights, so that any runtime runs it. There is no gate then.

A constant vector added after block N is the same vector added to the bias of that block's second MLP matrix, exactly.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.errors import UsageError
from whisper_steer.models.hooks import hook_points
from whisper_steer.steer.steering import Steering


def constant(steering: Steering) -> Tensor:
    """The vector (n_state,) that a steering adds everywhere. Raises `UsageError` where it is not constant."""
    if steering.method_name != "mean-difference":
        raise UsageError(
            f"the method {steering.method_name} does not add one vector to every frame, and cannot be written into "
            "weights: take mean-difference"
        )
    return steering.strength * steering.artifact.edits.mean_difference


@torch.no_grad()
def bake_vector(model: Whisper, hook_point: str, vector: Tensor) -> Whisper:
    """A copy of the model that adds a vector (n_state,) at a hook point. Raises `UsageError` for an unknown point."""
    if hook_point not in hook_points(model.encoder):
        raise UsageError(
            f"unknown hook point {hook_point!r}; this encoder has {', '.join(hook_points(model.encoder))}"
        )
    baked = copy.deepcopy(model)
    if hook_point == "ln_post":
        baked.encoder.ln_post.bias += vector
    else:
        baked.encoder.blocks[int(hook_point.removeprefix("blocks."))].mlp[2].bias += vector
    return baked
