"""What a fit says of itself on the artifact's card."""

from __future__ import annotations

from typing import Any

from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.fit.edits import Fitted
from whisper_steer.gate.conformal import smallest_promise


def describe(model: Whisper, fitted: Fitted) -> dict[str, Any]:
    """The card's parts about the model and the edits."""
    encoder = model.encoder
    sizes = {
        "n_state": encoder.ln_post.normalized_shape[0],
        "n_blocks": len(encoder.blocks),
        "n_mels": encoder.conv1.in_channels,
    }
    return {"model": sizes, **fitted.info}


def about_gate(
    compared: dict[str, dict[str, float]],
    utterances: int,
    data: dict[tuple[str, str], list[Clip]],
    plan: dict[str, Any],
) -> dict[str, Any]:
    """The card's parts about the gate: how kinds compared, what calibrated it, the clips by data set, the plan."""
    table: dict[str, dict[str, int]] = {}
    for (kind, split), clips in data.items():
        for clip in clips:
            row = table.setdefault(f"{kind}/{split}", {})
            row[clip.dataset] = row.get(clip.dataset, 0) + 1
    return {
        "gates_compared": compared,
        "calibration": {"utterances": utterances, "smallest_promise": smallest_promise(utterances)},
        "data": table,
        "plan": plan,
    }
