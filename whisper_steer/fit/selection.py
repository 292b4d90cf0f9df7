"""From scores to an artifact's latents: those the gate reads and those the methods edit."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from whisper_steer.data.labels import NONSPEECH, SPEECH
from whisper_steer.encoders.record import Activations
from whisper_steer.fit.scoring import LatentScores
from whisper_steer.sae.model import SAE
from whisper_steer.steer.methods import Edits
from whisper_steer.steer.silence import Silence

GATE_LATENTS = 128
EDIT_LATENTS = 64


def gate_latents(scores: LatentScores, n: int = GATE_LATENTS) -> Tensor:
    """(n,) indices of the latents that tell speech from non-speech best, on frames and on windows."""
    worth = (scores.frame_auroc - 0.5).abs() + (scores.window_auroc - 0.5).abs()
    return worth.topk(min(n, len(worth))).indices.sort().values


def edit_latents(scores: LatentScores, n: int = EDIT_LATENTS) -> Tensor:
    """(n,) indices of the latents with the largest effect on the decoder."""
    return scores.effect.topk(min(n, len(scores.effect))).indices.sort().values


def build_edits(
    sae: SAE, scores: LatentScores, activations: Activations, indices: Tensor, silence: Silence
) -> Edits:
    """What the methods act with. A latent speaks for silence where activating it raises the decoder's log odds
    of an empty result."""
    for_silence = scores.gradient[indices] > 0
    zero = torch.zeros(len(indices))
    return Edits(
        latents=sae.latents(indices),
        sign=torch.where(for_silence, 1.0, -1.0),
        clamp_value=torch.where(for_silence, scores.high[indices], zero),
        typical=scores.typical[indices],
        mean_difference=mean_difference(activations),
        silence=silence,
    )


def mean_difference(activations: Activations) -> Tensor:
    """Mean of the non-speech windows' frames minus mean of the speech frames: (n_state,)."""
    means = {}
    for label, windows in ((NONSPEECH, ~activations.speech), (SPEECH, activations.speech)):
        frames = (activations.labels == label) & activations.heard
        total, count = torch.zeros(activations.hidden.shape[-1]), 0
        for i in np.flatnonzero(windows):
            total += activations.frames(int(i))[frames[i]].sum(dim=0)
            count += int(frames[i].sum())
        means[label] = total / max(1, count)
    return means[NONSPEECH] - means[SPEECH]


def describe(scores: LatentScores, indices: Tensor, edits: Edits) -> list[dict[str, Any]]:
    """The selected latents with their scores, for the card; the most effective first."""
    rows = []
    for position, index in enumerate(indices.tolist()):
        row = {
            "latent": index,
            "frame_auroc": float(scores.frame_auroc[index]),
            "window_auroc": float(scores.window_auroc[index]),
            "speech_mean": float(scores.speech_mean[index]),
            "nonspeech_mean": float(scores.nonspeech_mean[index]),
            "clamp_value": float(edits.clamp_value[position]),
            "effect": float(scores.effect[index]),
        }
        rows.append({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()})
    return sorted(rows, key=lambda row: row["effect"], reverse=True)
