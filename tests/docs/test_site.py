"""If these fail, the site has a broken link, a page nobody can reach, or a command that does not exist."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from benchmarks.tables import ROOT, pages
from whisper_steer.cli import main
from whisper_steer.cli.parsing import StockLike, spelled_out

FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, *languages: str) -> Iterator[str]:
    for language, code in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in languages:
            yield code


def commands(page: Path) -> Iterator[list[str]]:
    """The lines of shell blocks as words, comments and what follows a pipe left out."""
    for code in blocks(page, "sh", ""):
        for line in code.replace("\\\n", " ").splitlines():
            for part in re.split(r" \| |&&", line):
                if re.match(r"\s*(?:\w+=\S+ )*(whisper-steer|python -m) ", part):
                    words = shlex.split(part, comments=True)
                    yield words[next(i for i, w in enumerate(words) if w in ("whisper-steer", "python")) :]


def each_command() -> list[object]:
    found = {" ".join(words): words for page in pages() for words in commands(page)}
    return [pytest.param(words, id=name[:90]) for name, words in found.items()]


@pytest.mark.parametrize("words", each_command())
def test_every_command_in_the_docs_exists_with_its_options(words: list[str]) -> None:
    if words[0] == "python":
        assert importlib.util.find_spec(words[2]) is not None
        return
    command: click.Command = main
    ctx = click.Context(main, info_name="whisper-steer")
    rest = words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(ctx, rest[0])
        assert found is not None, f"no command {rest[0]}"
        command, rest = found, rest[1:]
        ctx = click.Context(command, ctx, info_name=command.name, **command.context_settings)
    if rest and "..." not in rest:
        rest = [w for w in rest if w not in (">", "2>", "<")]
        if isinstance(command, StockLike):
            options = {o: p for p in command.params if isinstance(p, click.Option) for o in p.opts}
            rest = spelled_out(rest, options)
        command.make_parser(ctx).parse_args(rest)


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_python_in_the_docs_is_python(page: Path) -> None:
    for code in blocks(page, "python"):
        compile(code, str(page), "exec")


def test_the_site_builds_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("material")
    pytest.importorskip("mkdocs_click")
    pytest.importorskip("mkdocstrings")
    import subprocess
    import sys

    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    run = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, [line for line in done.stderr.splitlines() if "WARNING" in line]
    reached = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        assert (
            page.relative_to(ROOT / "docs").with_suffix(".html").as_posix() in reached or page.stem == "index"
        )
