"""A small corpus on disk, a random model and its artifact: enough to run every system for real in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
from helpers import make_artifact
from whisper.model import Whisper


def corpus(folder: Path, per_split: int = 3) -> Path:
    """A manifest of ``speech`` (noisy chirps that claim to be words) and ``nonspeech`` in three splits."""
    rng, rows = np.random.default_rng(0), []
    t = np.arange(16000) / 16000
    for split in ("fit", "choose", "test"):
        for i in range(per_split):
            for kind, samples in (
                (
                    "speech",
                    0.3 * np.sin(2 * np.pi * (200 + 90 * i + 300 * t) * t)
                    + 0.01 * rng.standard_normal(16000),
                ),
                ("nonspeech", 0.05 * (i + 1) * rng.standard_normal(16000)),
            ):
                name = f"{kind}-{split}-{i}.wav"
                soundfile.write(folder / name, samples, 16000)
                row = {
                    "path": name,
                    "kind": kind,
                    "dataset": kind,
                    "split": split,
                    "seconds": 1.0,
                    "group": f"{split}{i}",
                }
                rows.append(
                    row | ({"text": "one two"} if kind == "speech" else {"label": "noise", "voice": False})
                )
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def artifact_folder(model: Whisper, folder: Path) -> Path:
    """An artifact for the random model, whose gate suppresses some windows and not others."""
    return make_artifact(model.encoder, threshold=0.0, hook_point="blocks.0").save(folder / "artifact")
