"""report.html in a real browser: it renders, without scripts, errors or requests to anywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from bench import corpus
from click.testing import CliRunner

from whisper_steer.eval.cli import benchmark

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_report_renders(tiny_path: Path, tmp_path: Path) -> None:
    options = ["--model", str(tiny_path), "--data", f"manifest:{corpus(tmp_path)}", "--temperatures", "0"]
    options += ["--systems", "stock,vad-cut", "--out", str(tmp_path / "run")]
    CliRunner().invoke(benchmark, options, catch_exceptions=False)
    page, picture = tmp_path / "run" / "report.html", tmp_path / "page.png"
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}",
        "--window-size=1280,1600",
    ]  # fmt: skip
    subprocess.run(
        [str(CHROMIUM), *flags, f"--screenshot={picture}", page.as_uri()],
        check=True,
        timeout=120,
        capture_output=True,
    )
    assert picture.stat().st_size > 20_000
    dump = subprocess.run(
        [str(CHROMIUM), *flags, "--dump-dom", page.as_uri()],
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    ).stdout
    assert "vad-cut" in re.findall(r"<td[^>]*>([^<]*)</td>", dump)
    assert len(re.findall(r"<audio", dump)) >= 1
