"""What a laboratory command prints and writes: a table, the same as JSON, and a plot."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from whisper_steer.eval.report import table
from whisper_steer.files.output import finite, moved_into


@dataclass
class Findings:
    """Of one command."""

    name: str
    """of the files"""
    about: dict[str, Any]
    """what was measured on what: model, SAEs, data, seeds"""
    columns: list[str]
    rows: list[list[str]]
    """as printed"""
    values: list[dict[str, Any]] = field(default_factory=list)
    """as they are, for JSON"""
    svg: str | None = None

    def show(self, out: Path | None) -> None:
        """Print the table; write NAME.md, NAME.json and NAME.svg where there is a folder."""
        head = ", ".join(f"{key} {value}" for key, value in self.about.items())
        text = f"{head}\n\n{table(self.columns, self.rows)}\n"
        click.echo(text, nl=False)
        if out is None:
            return
        with moved_into(out) as folder:
            (folder / f"{self.name}.md").write_text(text, encoding="utf-8")
            content = {"about": self.about, "values": self.values}
            (folder / f"{self.name}.json").write_text(
                json.dumps(finite(content), indent=1) + "\n", encoding="utf-8"
            )
            if self.svg is not None:
                (folder / f"{self.name}.svg").write_text(self.svg, encoding="utf-8")
