"""What an artifact's card says of its model, its gate and the data of its fit."""

from __future__ import annotations

from collections.abc import Mapping
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
    data: Mapping[tuple[str, str], list[Clip]],
    plan: dict[str, Any],
) -> dict[str, Any]:
    """The parts about the gate: what it was compared with, on what it was calibrated. ``data``: by kind and split."""
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
