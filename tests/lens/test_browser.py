"""The page in a real browser, opened from its file: windows, words and heads to click on, at two widths."""

from __future__ import annotations

from pathlib import Path

import browser
import numpy as np
import pytest
import soundfile
from helpers import run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.CHROMIUM is None, reason="no Chromium here"),
]


@pytest.fixture(scope="module")
def page(tiny_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 40 s, in windows of 30."""
    folder = tmp_path_factory.mktemp("look")
    samples = np.random.default_rng(0).standard_normal(40 * 16000) * 0.1
    soundfile.write(folder / "long.wav", samples, 16000)
    done = run("lens", folder / "long.wav", "--model", tiny_path, "--mode", "off", "-o", folder / "page")
    assert done.exit_code == 0, done.output
    return folder / "page" / "long.lens.html"


@pytest.mark.parametrize("size", ["1300,900", "500,900"])
def test_everything_can_be_clicked_on(page: Path, size: str) -> None:
    found = browser.looked_at(
        page,
        """
        found.windows = all("#window option").length; found.tokens = all("#written b").length;
        found.columns = all("#grid thead th").length; found.blocks = all("#grid tbody tr").length;
        found.encoder = all("#encoder tr").length; found.heads = all("#heads canvas").length;
        const last = all("#written b").at(-1); last.click();
        found.chosen = $("#chosen").textContent; found.marked = last.classList.contains("on");
        found.now = all("#written b.now").length;
        all("#heads button")[2].click(); found.looked = $("#looked").textContent;
        $("#next").click(); await wait(100);
        found.at = $("#window").value; found.scores = $("#scores").textContent;
        found.painted = $("#large").getContext("2d").getImageData(0, 0, 100, 1).data.some((v) => v > 30 && v < 255);
        """,
        size,
    )
    assert found["windows"] >= 2
    assert found["tokens"] == found["columns"] - 1 > 3
    assert (found["blocks"], found["encoder"], found["heads"]) == (1, 1 + 2, 1 + 2)
    assert found["chosen"].startswith(f"Token {found['tokens'] - 1}: ")
    assert (found["marked"], found["now"]) == (True, 1)
    assert found["looked"].startswith("block 0, head 1")
    assert found["at"] == "1"
    assert "s of audio from 0:" in found["scores"]
    assert found["painted"]
    assert (found["failed"], found["wide"] <= 0) == ([], True)
    assert all(name.startswith(("file:", "data:", "blob:")) for name in found["asked"])
