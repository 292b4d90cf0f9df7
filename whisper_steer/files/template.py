"""Pages of HTML out of a template with the names of values in double braces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def filled(template: Path, values: Mapping[str, str]) -> str:
    """The template with ``{{name}}`` replaced by each value, in their order: what may hold braces itself comes last."""
    page = template.read_text(encoding="utf-8")
    for name, value in values.items():
        page = page.replace(f"{{{{{name}}}}}", value)
    return page
