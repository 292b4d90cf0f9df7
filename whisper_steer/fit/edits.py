"""What is edited and how: an SAE, its latents with the largest effect on the decoder, and strengths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.encoders.record import Activations
from whisper_steer.fit import scoring, selection, strengths
from whisper_steer.fit.silence import describe, fit_silence
from whisper_steer.sae.calibrate import FRAMES, calibrated, in_common_units
from whisper_steer.sae.model import SAE
from whisper_steer.sae.plan import Plan
from whisper_steer.sae.train import measure, train_on
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.methods import Edits


@dataclass
class Fitted:
    """The half of an artifact that edits."""

    edits: Edits
    strengths: dict[str, float]
    sae: SAE
    gate_latents: Tensor
    """(n,) indices of the latents that tell speech best"""
    info: dict[str, Any]
    """for the card"""


def fit_edits(
    model: Whisper,
    point: str,
    fitted: Activations,
    held_out: Activations,
    hard: Activations,
    full: Callable[[], Activations],
    work: Path,
    *,
    training: Plan,
    seed: int,
    sae: SAE | None = None,
) -> Fitted:
    """Train the SAE on ``fitted``, measure it on ``held_out``, choose latents and the strength of every method.

    ``hard`` is held-out speech that is hard to hear, on which the condition of silence is calibrated as well; ``full``
    makes the windows of non-speech on which strengths are chosen. ``sae``: one that was trained elsewhere; a top-k one
    is calibrated on ``fitted``.
    """
    came_with: dict[str, Any] = {} if sae is None else {"from": sae.about}
    if sae is not None:
        sae, came_with["calibrated"] = made_usable(sae, fitted, seed)
    else:
        sae = train_on(fitted, training, work / "sae")
    scores = scoring.latent_scores(model, point, sae, fitted, n=60, seed=seed)
    indices = selection.edit_latents(scores)
    spoken = held_out.of(held_out.speech)
    silence, change = fit_silence(model, point, sae, fitted, spoken, hard, seed=seed)
    edits = selection.build_edits(sae, scores, fitted, indices, silence)
    chosen, shares = strengths.choose(model, point, edits, full())
    info = {
        "sae": {
            **asdict(sae.config),
            "n_latents": sae.config.n_latents,
            **asdict(measure(sae, held_out)),
            **came_with,
        },
        "selected_by": "effect on the decoder",
        "latents": selection.describe(scores, indices, edits),
        "silence": describe(model, point, sae, change, fitted),
        "left_by_strength": shares,
    }
    return Fitted(edits, chosen, sae, selection.gate_latents(scores), info)


def made_usable(sae: SAE, fitted: Activations, seed: int) -> tuple[SAE, dict[str, Any] | None]:
    """One whose latents stand alone, in units of norm 1; and how it was calibrated, None where it was not."""
    rng = np.random.default_rng(seed)
    index = fitted.frame_index(rng)
    index = index[np.sort(rng.permutation(len(index))[:FRAMES])]
    frames, told = fitted.gather(index), None
    if sae.config.activation == "topk":
        sae = calibrated(sae, frames)
        told = {"k": sae.config.k, "threshold": float(sae.threshold), "frames": len(frames)}
    return in_common_units(sae, frames), told


def edits_of(artifact: Artifact) -> Fitted:
    """Those of an artifact, so that its gate alone is fitted again. Raises `ArtifactError` where it carries no SAE."""
    sae = artifact.load_sae()
    keys = ("sae", "selected_by", "latents", "silence", "left_by_strength", "edits_fitted_by")
    info = {key: artifact.info[key] for key in keys if key in artifact.info}
    info.setdefault("edits_fitted_by", artifact.info.get("command"))
    return Fitted(artifact.edits, artifact.strengths, sae, artifact.edits.sign.new_zeros(0).long(), info)
