"""The Soft-Frozen control of arXiv 2602.14111: an SAE whose decoder directions may turn only a little from random
ones (cosine of 0.8 or more). Trained exactly as ours, on the same activations, and scored and selected as ours is."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from whisper_steer.fit.scoring import latent_scores
from whisper_steer.fit.selection import build_edits, edit_latents
from whisper_steer.sae.train import Training, train
from whisper_steer.steer.methods import Edits

from ..curves.material import clip_activations
from ..fits import Bank

COSINE = 0.8
EFFECT_WINDOWS = 20


def soft_frozen_edits(bank: Bank) -> Edits:
    """Train the control on the fit windows and select its latents by the same scores as `whisper-steer fit`."""
    session, artifact = bank.session, bank.session.need_artifact()
    clips = [clip for kind in ("speech", "nonspeech") for clip in bank.clips["fit", kind]]
    activations = clip_activations(session.model, artifact.hook_point, clips)
    ours, budget = artifact.load_sae().config, Training(**artifact.info["plan"]["training"])
    sae = train(activations, ours, replace(budget, seed=session.seed), turn_back=turn_back)
    scores = latent_scores(session.model, artifact.hook_point, sae, activations, EFFECT_WINDOWS, session.seed)
    return build_edits(sae, scores, activations, edit_latents(scores, len(artifact.edits.sign)))


def turn_back(directions: Tensor, start: Tensor) -> Tensor:
    """Unit directions (..., state), each at cosine COSINE or more with its start (..., state)."""
    directions = directions / directions.norm(dim=-1, keepdim=True)
    cosine = (directions * start).sum(dim=-1, keepdim=True)
    across = directions - cosine * start
    across = across / across.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    limited = COSINE * start + (1 - COSINE**2) ** 0.5 * across
    return torch.where(cosine < COSINE, limited, directions)
