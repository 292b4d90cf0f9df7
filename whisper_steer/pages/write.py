"""The pages on disk: ``index.html`` with the numbers of every latent, and a script for each that is shown in full.

Scripts, because a page that was opened from a file may load those and nothing else. They hold JSON in which no ``<``
is left, and the page writes it as text, so that a label can be anything.
"""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whisper_steer.data.clips import Audio, Clip
from whisper_steer.files.card import CARD
from whisper_steer.files.template import as_json, filled
from whisper_steer.lab.encoders import FRAME_SAMPLES
from whisper_steer.pages.moments import Moment, mp3, snippet, spectrogram
from whisper_steer.pages.numbers import DOMAINS, THRESHOLDS, Numbers

FOLDER = Path(__file__).parent
INDEX = "index.html"
WHAT = "set of pages"


@dataclass
class Extras:
    """What is known of latents beside their numbers on clips; arrays are (n_latents,)."""

    names: Mapping[int, str]
    stability: np.ndarray | None = None
    effect: np.ndarray | None = None
    gradient: np.ndarray | None = None


def written(card: Mapping[str, Any]) -> Collection[str]:
    """The files beside a card of ours, for `whisper_steer.files.replace`."""
    latents = card.get("pages_of_latents")
    return [INDEX, *(script(int(j)) for j in latents)] if isinstance(latents, list) else ()


def script(latent: int) -> str:
    """The name of a latent's file."""
    return f"latent-{latent}.js"


def write_index(
    folder: Path, about: Mapping[str, Any], found: Numbers, extras: Extras, shown: Sequence[int]
) -> None:
    """``index.html`` and the card."""
    title = f"Latents of {about['SAE']} at {about['point']} of {about['model']}"
    content = {"about": about, "shown": list(shown), "domains": DOMAINS, "thresholds": THRESHOLDS}
    values = {
        "title": html.escape(title),
        "css": (FOLDER / "page.css").read_text(encoding="utf-8"),
        "js": (FOLDER / "page.js").read_text(encoding="utf-8"),
        "data": as_json(content | {"latents": table(found, extras)}),
    }
    (folder / INDEX).write_text(filled(FOLDER / "page.html", values), encoding="utf-8")
    card = dict(about) | {"pages_of_latents": list(shown)}
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def table(found: Numbers, extras: Extras) -> dict[str, Any]:
    """The columns, a value for each latent in each; None where it is not known."""
    domain, gap = found.domain()
    n = len(found.density)
    return {
        "auroc": rounded(found.auroc),
        "density": rounded(found.density),
        "domain": [DOMAINS[d] if d >= 0 else "" for d in domain],
        "gap": rounded(gap),
        "inside": [rounded(row) for row in found.inside],
        "outside": [rounded(row) for row in found.outside],
        "high": rounded(found.high),
        "largest": rounded(found.largest),
        "histogram": found.histogram.tolist(),
        "stability": None if extras.stability is None else rounded(extras.stability),
        "effect": None if extras.effect is None else rounded(extras.effect),
        "gradient": None if extras.gradient is None else rounded(extras.gradient),
        "name": [extras.names.get(j, "") for j in range(n)],
    }


def moment_of(clip: Clip, samples: Audio, moment: Moment) -> dict[str, Any]:
    """What a page shows of a moment. ``samples``: those of its clip."""
    heard = snippet(samples, moment)
    seconds = FRAME_SAMPLES / 16000
    return {
        "clip": clip.id or clip.group,
        "dataset": clip.dataset,
        "label": clip.label or "",
        "text": clip.text or "",
        "kind": clip.kind,
        "start": round(moment.first * seconds, 2),
        "at": round(moment.frame * seconds, 2),
        "seconds": round(len(heard) / 16000, 3),
        "value": _rounded(moment.value),
        "curve": rounded(moment.curve),
        "audio": _address("audio/mpeg", mp3(heard)),
        "picture": _address("image/webp", spectrogram(heard)),
    }


def write_latent(folder: Path, latent: int, content: Mapping[str, Any]) -> None:
    """The script of a latent: ``moments``, ``labels`` and ``texts``."""
    text = f"latent({as_json({'latent': latent, **content})});\n"
    (folder / script(latent)).write_text(text, encoding="ascii")


def rounded(values: np.ndarray) -> list[float | None]:
    """To four digits; None for what is not finite."""
    return [_rounded(float(v)) for v in values]


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


__all__ = [
    "INDEX",
    "WHAT",
    "Extras",
    "as_json",
    "moment_of",
    "script",
    "table",
    "write_index",
    "write_latent",
    "written",
]
