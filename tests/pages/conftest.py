"""A few clips with a hostile label and one that cannot be read, an SAE of the random Whisper, and its pages."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import Result
from helpers import random_sae, run
from safetensors.torch import save_file

HOSTILE = "</script><img src=x onerror=alert(1)>{{data}} \u2028"


@dataclass
class Made:
    """Pages on disk and what they were made of."""

    folder: Path
    result: Result
    index: str
    data: dict[str, Any]
    sae: Path
    manifest: Path

    def latent(self, j: int) -> dict[str, Any]:
        text = (self.folder / f"latent-{j}.js").read_text(encoding="ascii")
        return json.loads(text.removeprefix("latent(").removesuffix(");\n"))


def clips(folder: Path) -> Path:
    """A manifest: speech from the pack, music and noises computed, one of a hostile label, one broken."""
    from whisper_steer.data.pack import load_speech

    rng, rows = np.random.default_rng(0), []
    t = np.arange(48000) / 16000
    speech = [c.samples() for c in load_speech("choose") if c.language == "en" and c.seconds > 2][:2]
    sounds: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "said-0.wav": (speech[0], {"kind": "speech", "text": "one"}),
        "said-1.wav": (speech[1], {"kind": "speech", "text": "two"}),
        "flute.wav": (0.3 * np.sin(2 * np.pi * (400 + 60 * t) * t), {"kind": "nonspeech", "label": "flute"}),
        "noise.wav": (0.1 * rng.standard_normal(8000), {"kind": "nonspeech", "label": "wind"}),
        "hostile.wav": (0.2 * rng.standard_normal(40000), {"kind": "nonspeech", "label": HOSTILE}),
        "crowd.wav": (
            0.2 * rng.standard_normal(20000),
            {"kind": "nonspeech", "label": "crowd", "voice": True},
        ),
    }
    for name, (samples, row) in sounds.items():
        soundfile.write(folder / name, samples, 16000)
        rows.append({"path": name, "seconds": len(samples) / 16000, **row})
    (folder / "broken.wav").write_bytes(b"no sound")
    rows.append({"path": "broken.wav", "seconds": 1.0, "kind": "nonspeech", "label": "wind"})
    path = folder / "manifest.jsonl"
    common = {"split": "test", "dataset": "made", "group": "?"}
    path.write_text("".join(json.dumps(common | row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, tiny_path: Path) -> Made:
    folder = tmp_path_factory.mktemp("features")
    manifest, sae, out = clips(folder), folder / "sae.safetensors", folder / "pages"
    save_file({k: v.contiguous() for k, v in random_sae().state_dict().items()}, sae)
    best = [None] * 3 + [0.7] + [0.1] * 124
    stability = {
        "values": [{"sae": f"{folder.name}/sae", "best_iou": best}, {"sae": "sae", "best_iou": [0.8] * 128}]
    }
    (folder / "stability.json").write_text(json.dumps(stability))
    result = run(
        "features", sae, "--model", tiny_path, "--point", "blocks.1", "--data", f"manifest:{manifest}",
        "--latents", "all", "--moments", "3", "--texts", "1", "--stability", folder / "stability.json", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    index = (out / "index.html").read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', index, re.S)
    assert data is not None
    return Made(out, result, index, json.loads(data[1]), sae, manifest)
