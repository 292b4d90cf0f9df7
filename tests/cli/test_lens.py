"""If these fail, `whisper-steer lens` makes no page, or one that needs the network, or an error without a remedy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from bench import corpus
from helpers import run


def test_a_page_that_stands_alone(tiny_path: Path, wav_files: dict[str, Path], tmp_path: Path) -> None:
    options = ["--model", tiny_path, "--mode", "off", "--device", "cpu"]
    done = run("lens", wav_files["tone"], *options, "-o", tmp_path / "pages", "--json", tmp_path / "n.json")
    assert done.exit_code == 0, done.output
    text = (tmp_path / "pages" / "tone.lens.html").read_text(encoding="utf-8")
    assert not re.search(r"<[^>]+(src|href)=[\"']?(?!data:)\w|url\(|@import|https?://|\bfetch\(", text)
    assert "{{" not in re.sub(r"<script.*?</script>", "", text, flags=re.S)
    inside = re.search(r'id="data">(.*?)</script>', text, re.S)
    assert inside is not None
    assert json.loads(inside[1]) == json.loads((tmp_path / "n.json").read_text(encoding="utf-8"))


def test_a_folder_of_ctranslate2_and_a_file_to_write(
    tiny_ct2: Path, wav_files: dict[str, Path], tmp_path: Path
) -> None:
    page = tmp_path / "new" / "look.html"
    done = run("lens", wav_files["noise"], "--model", tiny_ct2, "--mode", "off", "--out", page)
    assert done.exit_code == 0, done.output
    assert str(page) in done.stdout
    assert [path.name for path in page.parent.iterdir()] == ["look.html"]


def test_where_nothing_is_heard_there_is_a_page_without_windows(
    tiny_path: Path, artifacts: dict[str, Path], wav_files: dict[str, Path], tmp_path: Path
) -> None:
    done = run(
        *("lens", wav_files["tone"], "--model", tiny_path, "--steering", artifacts["open"]),
        *("--out", tmp_path, "--json", tmp_path / "n.json"),
    )
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "n.json").read_text(encoding="utf-8"))
    assert (found["steering"], found["windows"], found["text"]) == ("by-hand", [], "")


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ([], 1, "no steering for"),
        (["--language", "xx"], 2, "does not know"),
        (["--mode", "steer"], 2, "--mode"),
    ],
)
def test_errors_are_one_line(
    tiny_path: Path, wav_files: dict[str, Path], more: list[str], code: int, says: str
) -> None:
    done = run("lens", wav_files["tone"], "--model", tiny_path, *more)
    assert (done.exit_code, says in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreadable_recording(tiny_path: Path, tmp_path: Path) -> None:
    done = run("lens", tmp_path / "none.wav", "--model", tiny_path, "--mode", "off")
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_laboratorys_tables(tiny_path: Path, tmp_path: Path) -> None:
    data = f"manifest:{corpus(tmp_path)}"
    done = run("lab", "lens", tiny_path, "--data", data, "--clips", "2", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    logit, encoder, first = (
        json.loads((tmp_path / "out" / f"{name}.json").read_text())["values"]
        for name in ("logit-lens", "encoder-lens", "first-words")
    )
    assert len(encoder) == 2
    assert sum(row["nonspeech"] for row in first) <= 2
    for kind in ("spoken", "hallucinated"):
        assert sum(row["first_from_here"][kind]["value"] for row in logit) == pytest.approx(1)
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json", ".md", ".svg"}
