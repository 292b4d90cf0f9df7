"""If these fail, what a laboratory command found is lost, half written, or no JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from whisper_steer.lab.findings import Findings


def findings(svg: str | None = "<svg/>") -> Findings:
    return Findings(
        "probe",
        {"model": "tiny.en", "seeds": 3},
        ["latent", "r"],
        [["1", "0.5"], ["a|b", "-"]],
        [{"latent": 1, "r": 0.5}, {"latent": 2, "r": float("nan"), "null": [float("inf"), 1.0]}],
        svg,
    )


def no_word(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def test_the_table_is_printed_and_nothing_else_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    findings().show(None)
    assert capsys.readouterr().out.splitlines() == [
        "model tiny.en, seeds 3", "", "| latent | r |", "| --- | --- |", "| 1 | 0.5 |", "| a\\|b | - |",
    ]  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_table_figures_and_plot_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "out"
    findings().show(out)
    assert sorted(path.name for path in out.iterdir()) == ["probe.json", "probe.md", "probe.svg"]
    assert (out / "probe.md").read_text(encoding="utf-8") == capsys.readouterr().out
    written = json.loads((out / "probe.json").read_text(encoding="utf-8"), parse_constant=no_word)
    assert written == {
        "about": {"model": "tiny.en", "seeds": 3},
        "values": [{"latent": 1, "r": 0.5}, {"latent": 2, "r": None, "null": [None, 1.0]}],
    }


def test_without_a_plot_there_is_no_plot(tmp_path: Path) -> None:
    findings(svg=None).show(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["probe.json", "probe.md"]


def test_where_writing_fails_the_files_of_before_stay(tmp_path: Path) -> None:
    findings().show(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    bad = findings()
    bad.values.append({"latent": object()})
    with pytest.raises(TypeError):
        bad.show(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_in_the_folders_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OSError):
        findings().show(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "a file"
