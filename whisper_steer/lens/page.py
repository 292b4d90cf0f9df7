"""The page of a recording under the lenses: one file that a browser opens, with its sound and nothing from outside."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

import numpy as np

from whisper_steer.explain.page import ogg
from whisper_steer.files.template import as_json, filled

FOLDER = Path(__file__).parent


def page(found: dict[str, Any], samples: np.ndarray) -> str:
    """The whole page. ``found`` as by `whisper_steer.lens.report.report`; ``samples`` (n,) float32 at 16 kHz."""
    values = {
        "title": html.escape(f"{found['file']} under the lenses"),
        "css": (FOLDER / "page.css").read_text(encoding="utf-8"),
        "js": (FOLDER / "page.js").read_text(encoding="utf-8"),
        "audio": base64.b64encode(ogg(samples)).decode(),
        "data": as_json(found),
    }
    return filled(FOLDER / "page.html", values)
