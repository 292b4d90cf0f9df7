"""If this fails, somebody looks an error up in docs/troubleshooting.md and does not find it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from whisper_steer import errors

ROOT = Path(__file__).parents[2]
PARTS = (
    "archive", "audio", "data", "export", "files", "fit", "formats", "gate", "hub", "live", "models", "runtimes", "sae",
    "serve", "steer",
)  # fmt: skip
CLASSES = {name for name, kind in vars(errors).items() if isinstance(kind, type)}


def messages(folder: Path) -> Iterator[str]:
    """What is said, with an ellipsis for each value."""
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or getattr(node.func, "id", "") not in CLASSES or not node.args:
                continue
            said = node.args[0]
            if isinstance(said, ast.Constant):
                yield str(said.value)
            elif isinstance(said, ast.JoinedStr):
                yield "".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in said.values)


@pytest.mark.parametrize("part", PARTS)
def test_every_error_that_is_raised_is_explained(part: str) -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").replace("\\|", "|")
    missing = [said for said in messages(ROOT / "whisper_steer" / part) if said.replace("`", "'") not in text]
    assert not missing
