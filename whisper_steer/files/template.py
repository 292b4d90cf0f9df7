"""Pages of HTML out of a template with the names of values in double braces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whisper_steer.files.output import finite


def filled(template: Path, values: Mapping[str, str]) -> str:
    """The template with ``{{name}}`` replaced by each value, in their order: what may hold braces itself comes last."""
    page = template.read_text(encoding="utf-8")
    for name, value in values.items():
        page = page.replace(f"{{{{{name}}}}}", value)
    return page


def as_json(value: Any) -> str:
    """JSON in ASCII that ends no script element and opens no comment in one."""
    return json.dumps(finite(value), separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
