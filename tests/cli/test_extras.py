"""If these fail, who installs one runtime gets a traceback for want of another, or must install them all."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from whisper_steer.errors import EXTRAS

ROOT = Path(__file__).parents[2]
WITHOUT = "import sys\nfor name in {names!r}: sys.modules[name] = None\n"
"""as if these packages were not installed"""


def run_without(names: list[str], *args: object) -> subprocess.CompletedProcess[str]:
    code = WITHOUT.format(names=names) + "from whisper_steer.cli import main; main()"
    line = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)


def test_openai_whisper_alone_transcribes(
    tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path], artifacts: dict[str, Path]
) -> None:
    args = ["--model", tiny_path, "--steering", artifacts["open"], "-o", tmp_path, "-f", "json"]
    done = run_without(sorted(EXTRAS), "transcribe", wav_files["tone"], *args)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tone.json").is_file()


def test_lens_needs_no_other_runtime(tmp_path: Path, tiny_path: Path, wav_files: dict[str, Path]) -> None:
    done = run_without(
        sorted(EXTRAS), "lens", wav_files["tone"], "--model", tiny_path, "--mode", "off", "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("missing", "args"),
    [
        ("faster_whisper", ["transcribe", "a.wav", "--model", "tiny.en", "--backend", "faster"]),
        ("transformers", ["transcribe", "a.wav", "--model", "tiny.en", "--backend", "transformers"]),
        ("fastapi", ["serve", "--model", "tiny.en"]),
        ("pyarrow", ["archive", "recordings", "--out", "texts"]),
        ("jiwer", ["benchmark", "--list"]),
    ],
)
def test_a_missing_package_is_one_line_with_its_extra(missing: str, args: list[str]) -> None:
    done = run_without([missing], *args)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"pip install 'whisper-steer[{EXTRAS[missing]}]'" in done.stderr.splitlines()[-1]


def test_every_extra_that_is_named_is_there() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(EXTRAS.values()) <= set(project["optional-dependencies"])
    told = {
        name
        for path in (ROOT / "whisper_steer").rglob("*.py")
        for name in re.findall(r"whisper-steer\[([a-z_]+)\]'", path.read_text(encoding="utf-8"))
    }
    assert told <= set(project["optional-dependencies"])
