"""If these fail, the documentation's figures are not those that were measured."""

from pathlib import Path

import pytest

from whisper_steer.errors import DataError
from whisper_steer.lab.report import report

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_documentation_holds_what_the_command_prints(path: Path) -> None:
    assert report(path) in (ROOT / "docs" / "laboratory" / "training.md").read_text(encoding="utf-8")


def test_other_files_are_refused(tmp_path: Path) -> None:
    for text in ("[]", "{", '{"log": 1}', '{"stem": {}}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(DataError, match="name one that is"):
            report(tmp_path / "other.json")
