"""If these fail, a figure in the docs is stale or typed by hand, and a reader cannot rerun it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import derived
from benchmarks.tables import RESULTS, ROOT, Spec, filled, pages, stored, unmarked
from whisper_steer.errors import DataError

OUTPUT = """\
| system | WER | CPU s |
| --- | --- | --- |
| stock | 28.3% | 98 |
| ours | 11.0% | 97 |
"""


@pytest.fixture
def results(tmp_path: Path) -> Path:
    (tmp_path / "run.md").write_text("Some words.\n\n" + OUTPUT, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_table_is_its_stored_output(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(text) == text, "make results"


@pytest.mark.parametrize("page", pages(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_no_table_with_figures_is_without_a_source(page: Path) -> None:
    assert unmarked(page.read_text(encoding="utf-8")) == []


def test_what_is_worked_out_of_outputs_is_up_to_date() -> None:
    """README's figures, the speeds and the costs."""
    assert (RESULTS / "derived.md").read_text(encoding="utf-8") == derived.text(), "make results"


def test_a_new_table_stands_apart_from_the_text(results: Path) -> None:
    assert filled("<!-- table: run.md 0 -->\n\nEnd.\n", results).endswith("| 97 |\n\nEnd.\n")


def test_a_stale_table_is_put_right(results: Path) -> None:
    marker = "<!-- table: run.md 0; rows: ^\\| ours; columns: system | WER; bold: ours -->\n\n"
    assert filled(marker + "| system |\n| --- |\n| 1 |\n\nEnd.\n", results) == (
        marker + "| system | WER |\n| --- | --- |\n| **ours** | **11.0%** |\n\nEnd.\n"
    )


def test_a_table_without_a_marker_is_found() -> None:
    assert unmarked("Text.\n\n" + OUTPUT) == ["| system | WER | CPU s |"]
    assert unmarked("<!-- by hand: the paper's -->\n\n" + OUTPUT) == []


@pytest.mark.parametrize(
    "spec", ["absent.md 0", "run.md 1", "run.md 0; rows: theirs", "run.md 0; columns: CER"]
)
def test_what_no_output_holds_is_told(spec: str, results: Path) -> None:
    with pytest.raises(DataError):
        stored(Spec.read(spec), results)
