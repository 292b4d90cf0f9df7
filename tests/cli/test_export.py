"""``whisper-steer export``: one command from a checkpoint to a steered folder, checked on the user's audio."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import ALWAYS_OPEN, make_artifact
from whisper.model import Whisper

from whisper_steer.cli import main

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def artifact(tiny_model: Whisper, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts") / "by-hand"
    return make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN).save(folder)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["export", *map(str, arguments)])
    return result.exit_code, result.output


def test_export_and_verify(
    tiny_path: Path, artifact: Path, wav_files: dict[str, Path], tmp_path: Path
) -> None:
    code, output = run(
        tiny_path,
        "--steering",
        artifact,
        "--format",
        "openai",
        "-o",
        tmp_path / "m",
        "--verify",
        wav_files["tone"],
    )
    assert code == 0, output
    assert "mean-difference of strength 1.5 baked in for openai" in output
    assert "verified on 1 recordings" in output and "tokens identical on 1" in output
    assert {p.name for p in (tmp_path / "m").iterdir()} == {"model.pt", "card.json"}


def test_what_cannot_be_done_is_one_line(tiny_path: Path, artifact: Path, tmp_path: Path) -> None:
    code, output = run(tiny_path, "--format", "openai", "-o", tmp_path / "m")
    assert code == 1 and "whisper-steer fit" in output
    assert not (tmp_path / "m").exists()
