"""Steering without hooks: written into the encoder's weights, so that any runtime runs it. There is no gate then.

Two things can be written. A constant vector added after block N is the same vector added to the bias of that block's
second MLP matrix, exactly. A clamp of n latents is n extra neurons of an MLP, exactly where the latents are linear in
that MLP's own normalised input (`clamp_neurons`). Latents of a block's output, as artifacts have them, are not: their
effect is learned by a few extra neurons from audio (`distil`), which is an approximation whose fit is measured.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from whisper.model import Linear, Whisper

from whisper_steer.encoders.hooks import hook_points, hooked
from whisper_steer.errors import UsageError
from whisper_steer.steer.steering import Steering

ROUND_TO = 8
"""neurons are padded to a multiple of this, which quantised matrix products want"""


@dataclass
class Neurons:
    """m neurons beside those of an MLP with input u (n_state,): they add ``out @ gelu(weight @ u + bias) + offset``."""

    weight: Tensor
    """(m, n_state)"""
    bias: Tensor
    """(m,)"""
    out: Tensor
    """(n_state, m)"""
    offset: Tensor
    """(n_state,)"""

    def __call__(self, u: Tensor) -> Tensor:
        """(..., n_state) -> (..., n_state)."""
        return torch.nn.functional.gelu(u @ self.weight.T + self.bias) @ self.out.T + self.offset


def constant(steering: Steering) -> Tensor:
    """The vector (n_state,) that a steering adds everywhere. Raises `UsageError` where it is not constant."""
    if steering.method_name != "mean-difference":
        raise UsageError(
            f"the method {steering.method_name} does not add one vector to every frame; bake it with --format hf or "
            "ct2, or take --method mean-difference"
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
        baked.encoder.blocks[_block(hook_point)].mlp[2].bias += vector
    return baked


@torch.no_grad()
def bake_neurons(model: Whisper, block: int, neurons: Neurons) -> Whisper:
    """A copy of the model with more neurons in the MLP of one encoder block.

    The MLPs of the other blocks are widened by neurons that do nothing, as transformers and CTranslate2 want all of
    one width. openai-whisper fixes the width at four times the state, so such a model cannot be saved in its format.
    """
    baked = copy.deepcopy(model)
    more = math.ceil(len(neurons.bias) / ROUND_TO) * ROUND_TO
    for index, each in enumerate(baked.encoder.blocks):
        first, second = each.mlp[0], each.mlp[2]
        n_state, width = first.in_features, first.out_features
        wide_first, wide_second = Linear(n_state, width + more), Linear(width + more, n_state)
        for wide, narrow in ((wide_first, first), (wide_second, second)):
            wide.to(narrow.weight.device, narrow.weight.dtype)
            wide.weight.zero_()
            wide.bias.zero_()
        wide_first.weight[:width], wide_first.bias[:width] = first.weight, first.bias
        wide_second.weight[:, :width], wide_second.bias[:] = second.weight, second.bias
        if index == block:
            extra = slice(width, width + len(neurons.bias))
            wide_first.weight[extra], wide_first.bias[extra] = neurons.weight, neurons.bias
            wide_second.weight[:, extra] = neurons.out
            wide_second.bias += neurons.offset
        each.mlp[0], each.mlp[2] = wide_first, wide_second
    return baked


def clamp_neurons(
    weight: Tensor,
    bias: Tensor,
    threshold: Tensor,
    directions: Tensor,
    clamp_value: Tensor,
    *,
    sharpness: float = 100.0,
    ramp: float | None = None,
) -> Neurons:
    """The clamp z -> clamp_value of n latents that read an MLP's input u: ``z = relu(weight @ u + bias - threshold)``.

    weight (n, n_state); bias, threshold, clamp_value (n,); directions (n, n_state), in the units of the activations.
    GELU acts as a ReLU where its argument is large: ``gelu(s x) / s`` is off ``relu(x)`` by 0.17 / s at most, with s
    the ``sharpness``. With ``ramp``, latents are JumpReLU instead, ``z = p if p > threshold else 0`` for
    ``p = weight @ u + bias``: two more neurons a latent make a step that takes 1 / ramp.
    """
    rows, biases, out = [weight], [bias - threshold], [-directions.T]
    if ramp is not None:
        step = -(threshold[:, None] * directions).T * ramp
        rows += [weight, weight]
        biases += [bias - threshold, bias - threshold - 1.0 / ramp]
        out += [step, -step]
    return Neurons(
        weight=torch.cat(rows) * sharpness,
        bias=torch.cat(biases) * sharpness,
        out=torch.cat(out, dim=1) / sharpness,
        offset=clamp_value @ directions,
    )


def distil(
    model: Whisper,
    steering: Steering,
    mels: Iterable[Tensor],
    *,
    neurons: int = 64,
    steps: int = 800,
    seed: int = 0,
) -> tuple[Neurons, float]:
    """Extra neurons that do what an ungated steering does after its block, learned from log-mel windows.

    ``mels``: (mels, 3000) each. Returns the neurons and the share of the variance of the steering's change that they
    explain on every fifth frame, which they were not fitted to. Raises `UsageError` for artifacts at ``ln_post``,
    behind which there is no MLP.
    """
    point = steering.artifact.hook_point
    if point == "ln_post":
        raise UsageError(
            "only a constant vector can be baked at ln_post: take --method mean-difference, or an artifact at a block"
        )
    inputs, changes = _record(model, steering, mels)
    held_out = torch.arange(len(inputs)) % 5 == 0
    generator = torch.Generator().manual_seed(seed)
    n_state = inputs.shape[1]
    # what is written lies in the span of few decoder directions: learn its coordinates there
    mean = changes.mean(dim=0)
    spread = changes - mean
    _, scales, axes = torch.linalg.svd(spread[:: max(1, len(spread) // 4000)], full_matrices=False)
    rank = max(1, int((scales > scales[0] * 1e-4).sum()))
    axes = axes[:rank]
    targets = spread @ axes.T
    unit = targets.norm(dim=1).square().mean().sqrt()
    first, second = nn.Linear(n_state, neurons), nn.Linear(neurons, rank)
    with torch.no_grad():
        centre = inputs.mean(dim=0)
        first.weight.normal_(0.0, 1.0 / float(inputs.std() * math.sqrt(n_state)), generator=generator)
        first.bias.copy_(-first.weight @ centre)
        second.weight.zero_()
        second.bias.zero_()
    optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=steps)
    x, y = inputs[~held_out], targets[~held_out] / unit
    for _ in range(steps):
        rows = torch.randint(len(x), (2048,), generator=generator)
        loss = (second(torch.nn.functional.gelu(first(x[rows]))) - y[rows]).square().sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        learned = Neurons(
            weight=first.weight.clone(),
            bias=first.bias.clone(),
            out=axes.T @ second.weight * unit,
            offset=axes.T @ second.bias * unit + mean,
        )
        missed = (learned(inputs[held_out]) - changes[held_out]).square().sum()
        explained = 1.0 - float(missed / spread[held_out].square().sum())
    return learned, explained


@torch.no_grad()
def _record(
    model: Whisper, steering: Steering, mels: Iterable[Tensor], stride: int = 3
) -> tuple[Tensor, Tensor]:
    """Inputs of the block's MLP and the steering's changes, (frames, n_state) each, every ``stride``-th frame."""
    point = steering.artifact.hook_point
    inputs: list[Tensor] = []
    changes: list[Tensor] = []

    def change(hidden: Tensor) -> None:
        changes.append(
            steering.method(hidden.float(), steering.artifact.edits, steering.strength)[0, ::stride]
        )

    handle = model.encoder.blocks[_block(point)].mlp_ln.register_forward_hook(
        lambda _module, _inputs, output: inputs.append(output[0, ::stride].float())
    )
    try:
        for mel in mels:
            with hooked(model.encoder, (point, change)):
                model.encoder(mel[None].to(model.device))
    finally:
        handle.remove()
    return torch.cat(inputs), torch.cat(changes)


def _block(hook_point: str) -> int:
    return int(hook_point.removeprefix("blocks."))
