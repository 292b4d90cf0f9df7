"""If these fail, `-o` deletes what a user keeps in a folder, or an interrupted write leaves neither old nor new."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import ALWAYS_OPEN, make_artifact, run
from whisper.model import Whisper

from whisper_steer.errors import UsageError
from whisper_steer.export.write import export
from whisper_steer.steer.artifact import Artifact

Make = Callable[[Path], object]


@pytest.fixture(params=["artifact", "export"])
def make(request: pytest.FixtureRequest, tiny_model: Whisper) -> Make:
    if request.param == "artifact":
        return make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN).save
    return lambda folder: export(tiny_model, folder, format="openai")


def everything(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder, with the bytes of the files."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def put_other_files(path: Path) -> None:
    path.mkdir()
    (path / "thesis.tex").write_text("ten years of work")


def put_a_file(path: Path) -> None:
    path.write_text("a recording")


def put_a_link(path: Path) -> None:
    path.with_name("elsewhere").mkdir()
    path.symlink_to("elsewhere")


def put_a_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def put_a_card_of_something_else(path: Path) -> None:
    path.mkdir()
    (path / "card.json").write_text(json.dumps({"schema": 2, "name": "a character sheet"}))


def put_a_damaged_card(path: Path) -> None:
    path.mkdir()
    (path / "card.json").write_text("{" * 100_000)


PUTS = [
    put_other_files,
    put_a_file,
    put_a_link,
    put_a_dangling_link,
    put_a_card_of_something_else,
    put_a_damaged_card,
]


@pytest.mark.parametrize("put", PUTS)
def test_what_is_not_ours_stays_and_is_told_in_one_line(
    make: Make, put: Callable[[Path], None], tmp_path: Path
) -> None:
    put(tmp_path / "x")
    before = everything(tmp_path)
    with pytest.raises(UsageError) as raised:
        make(tmp_path / "x")
    assert str(tmp_path / "x") in str(raised.value)
    assert "\n" not in str(raised.value)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("foreign", ["notes.txt", "sub/", "sae.safetensors/", "model.pt/"])
def test_one_foreign_thing_in_a_folder_of_ours_is_enough(make: Make, foreign: str, tmp_path: Path) -> None:
    make(tmp_path / "x")
    added = tmp_path / "x" / foreign
    if added.is_file():
        added.unlink()
    if foreign.endswith("/"):
        added.mkdir()
        (added / "notes.txt").write_text("mine")
    else:
        added.write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(UsageError, match=r"notes|sub|sae|model"):
        make(tmp_path / "x")
    assert everything(tmp_path) == before


def test_an_artifact_takes_no_exports_place_nor_the_other_way_round(
    tiny_model: Whisper, tmp_path: Path
) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN)
    export(tiny_model, tmp_path / "model", format="openai")
    with pytest.raises(UsageError):
        artifact.save(tmp_path / "model")
    artifact.save(tmp_path / "steering")
    with pytest.raises(UsageError):
        export(tiny_model, tmp_path / "steering", format="openai")
    assert Artifact.load(tmp_path / "steering").name == "by-hand"
    assert (tmp_path / "model" / "model.pt").is_file()


def test_our_own_folder_is_replaced_whole_and_an_empty_one_is_used(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "x")
    made = everything(tmp_path)
    card = tmp_path / "x" / "card.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "left": "over"}))
    make(tmp_path / "x")
    assert everything(tmp_path).keys() == made.keys()
    assert "left" not in json.loads(card.read_text())
    (tmp_path / "y").mkdir()
    make(tmp_path / "y")
    assert everything(tmp_path / "y").keys() == everything(tmp_path / "x").keys()


def test_a_failing_last_move_leaves_the_previous_one(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "x")
    before, replace = everything(tmp_path), os.replace

    def failing(source: Any, target: Any) -> None:
        if Path(target) == tmp_path / "x" and Path(source).name != "previous":
            raise OSError("the disk went away")
        replace(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="went away"):
        make(tmp_path / "x")
    assert everything(tmp_path) == before


def test_the_current_folder_is_refused(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").mkdir()
    monkeypatch.chdir(tmp_path / "x")
    with pytest.raises(UsageError, match="name a new folder"):
        make(Path())


@pytest.mark.parametrize(
    "command", [["fit"], ["export", "--format", "openai"]], ids=lambda command: command[0]
)
def test_the_command_looks_at_its_target_before_anything_else(
    command: list[str], tmp_path: Path, tiny_path: Path
) -> None:
    """A fit takes 20 minutes: here the model is not even there."""
    put_other_files(tmp_path / "x")
    (tmp_path / "file").touch()
    for target in (tmp_path / "x", tmp_path / "file" / "below"):
        done = run(*command, tmp_path / "no-such-model.pt", "-o", target)
        assert done.exit_code == 2
        assert done.stderr.startswith(f"Error: {target}: ")
        assert len(done.stderr.splitlines()) == 1
    assert everything(tmp_path).keys() == {"x", "x/thesis.tex", "file"}
