"""What makes any SAE one that steering can use: latents that stand alone, in units that do not depend on its maker.

A top-k SAE gets one threshold, found on activations, as a Batch-Top-K SAE gets its own in training (Bussmann et al.,
arXiv 2412.06410). The other changes are exact: latents are scaled, what they are latents of stays as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from whisper_steer.errors import UsageError
from whisper_steer.sae.model import SAE

FRAMES = 20_000
"""that suffice to find a threshold on"""
BATCH = 1024
STORED_IN_HALF = 2e-3
"""how far a norm of 1 may be off in a file of float16"""


@torch.no_grad()
def calibrated(sae: SAE, frames: Tensor) -> SAE:
    """The same SAE with the one threshold at which as many latents a frame as its k says are active on average.

    ``frames``: (n, n_state) activations; more than `FRAMES` are thinned out. Raises `UsageError` where there are none,
    where they are of another width, or where the SAE does not say its k.
    """
    k = sae.config.k
    if k < 1:
        raise UsageError(
            "this SAE does not say how many latents are active in a frame: it cannot be calibrated"
        )
    if len(frames) == 0 or frames.shape[-1] != sae.config.n_state:
        raise UsageError(f"no threshold can be found on activations of shape {tuple(frames.shape)}")
    frames = frames[:: -(-len(frames) // FRAMES)]
    wanted = min(k, sae.config.n_latents - 1) * len(frames)
    largest = torch.zeros(0)
    for h in frames.split(BATCH):
        z = sae.pre_activations(sae.normalise(h.float())[0]).flatten()
        largest = torch.cat([largest.to(z), z])
        largest = largest.topk(min(wanted + 1, len(largest)), sorted=False).values
    last = largest.topk(wanted + 1).values[-2:]
    return _made(sae, {"threshold": last.mean() if last[0] > last[1] else last[0]}, activation="threshold")


@torch.no_grad()
def in_common_units(sae: SAE, frames: Tensor) -> SAE:
    """The same SAE with decoder rows of norm 1 and, where it divides all frames by one number, by such a one that the
    mean distance of ``frames`` (n, n_state) from ``b_dec`` is 1: then a change of a latent means as much in any SAE.

    Latents are multiplied by the norm of their row and divided by that of the frames; reconstructions stay as they are.
    Raises `UsageError` for a top-k SAE, whose choice would change.
    """
    if sae.config.activation == "topk":
        raise UsageError("latents of a top-k SAE cannot be scaled one by one: calibrate it first")
    rows = sae.W_dec.norm(dim=1).clamp_min(1e-8)
    norm, by = sae.config.frame_norm, 1.0
    if ((rows - 1).abs() < STORED_IN_HALF).all():
        if norm is None:
            return sae
        rows = torch.ones(())
    if norm is not None:
        by = float((sae.normalise(frames.float())[0] - sae.b_dec).norm(dim=-1).mean())
        norm *= by
    state = {
        "W_dec": sae.W_dec / rows[..., None],
        "W_enc": sae.W_enc * rows,
        "b_enc": sae.b_enc * rows / by,
        "b_dec": sae.b_dec / by,
        "threshold": sae.threshold * rows / by,
    }
    return _made(sae, state, frame_norm=norm)


def _made(sae: SAE, changed: dict[str, Tensor], **config: Any) -> SAE:
    new = replace(sae.config, **config)
    made = SAE.of({**sae.state_dict(), **changed}, new.k, new.activation, new.frame_norm)
    made.about = dict(sae.about)
    return made
