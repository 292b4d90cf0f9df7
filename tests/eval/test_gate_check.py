"""If these fail, a user who checks the gate on recordings of their own is told wrong shares."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from helpers import ALWAYS_OPEN, ALWAYS_SHUT, make_artifact
from statsmodels.stats.proportion import proportion_confint
from whisper.model import Whisper

from whisper_steer.cli import main
from whisper_steer.eval.hard_speech import CONDITIONS


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = []
    for kind, n in (("speech", 3), ("nonspeech", 2)):
        for i in range(n):
            soundfile.write(tmp_path / f"{kind}{i}.wav", rng.normal(size=16000) * 0.05, 16000)
            rows.append(
                {"path": f"{kind}{i}.wav", "kind": kind, "dataset": "d", "split": "test", "group": f"g{i}"}
            )
    rows[0]["language"] = "fr"
    (tmp_path / "broken.wav").write_text("no audio")
    rows.append({**rows[0], "path": "broken.wav"})
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize(("threshold", "suppressed", "through"), [(ALWAYS_OPEN, 3, 0), (ALWAYS_SHUT, 0, 2)])
def test_shares_and_intervals_are_those_of_the_clips(
    tiny_model: Whisper, tiny_path: Path, manifest: Path, threshold: float, suppressed: int, through: int
) -> None:
    folder = make_artifact(tiny_model.encoder, threshold=threshold).save(manifest.parent / "artifact")
    out = manifest.parent / "judged.json"
    arguments = ["check-gate", str(tiny_path), "--manifest", str(manifest), "--steering", str(folder)]
    result = CliRunner().invoke(main, [*arguments, "--hard", "2", "--out", str(out)])
    assert result.exit_code == 0, result.output
    low, high = proportion_confint(suppressed, 3, method="wilson")
    expected = f"| speech | all | as recorded | 3 | suppressed | {suppressed / 3:.1%} [{low:.1%}, {high:.1%}]"
    assert expected.replace("%", " %") in result.output
    assert (
        f"| nonspeech | all | as recorded | 2 | let through | {through / 2:.1%}".replace("%", " %")
        in result.output
    )
    for language, n in (("en", 2), ("fr", 1)):
        assert f"| speech | language {language} | as recorded | {n} | suppressed |" in result.output
    written = json.loads(out.read_text())
    rows = written["clips"]
    assert len(rows) == 5 + 4 * 2  # the broken file is told and left out
    assert {r["condition"] for r in rows} == {"as recorded", "10 dB", "0 dB", "-5 dB", "-30 dB level"}
    assert "broken.wav" in result.output
    assert len(written["hard"]) == 2 * len(CONDITIONS)
    for name in CONDITIONS:
        expected = f"| utterances | {name} | 2 | {100 * (suppressed > 0):.1f} % ["
        assert expected in result.output
    told = "broken" if suppressed else "too few to tell: 998 speakers would"
    for stratum, speakers in (("noisy", 2), ("far", 2), ("language en", 2), ("language fr", 1)):
        (row,) = [line for line in result.output.splitlines() if line.startswith(f"| {stratum} | ")]
        assert row.startswith(f"| {stratum} | {speakers} | {100.0 * (suppressed > 0):.2f} % | ")
        assert row.endswith(f"| {told} |")
    assert [row["n"] for row in written["promise"] if row["stratum"] == "far"] == [2]


def test_many_clips_of_one_speaker_are_one(tiny_model: Whisper, tiny_path: Path, manifest: Path) -> None:
    """Else a thousand clips of one voice are told to be proof for everybody's."""
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps({**row, "group": "one", "language": "en"}) + "\n" for row in rows))
    result = check(manifest, tiny_model, tiny_path, "--hard", "0")
    assert result.exit_code == 0, result.output
    assert "| language en | 1 | " in result.output and "| far |" not in result.output


def check(manifest: Path, model: Whisper, path: Path, *more: str) -> Result:
    folder = make_artifact(model.encoder, threshold=0.0).save(manifest.parent / "artifact")
    arguments = ["check-gate", str(path), "--manifest", str(manifest), "--steering", str(folder), *more]
    return CliRunner().invoke(main, arguments)


def test_a_condition_that_cannot_be_made_has_no_row(
    tiny_model: Whisper, tiny_path: Path, manifest: Path
) -> None:
    """Without non-speech there is no noise to add: a row "-5 dB" would be of clean speech."""
    speech = [line for line in manifest.read_text().splitlines() if '"speech"' in line]
    manifest.write_text("\n".join(speech))
    result = check(manifest, tiny_model, tiny_path)
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if line.startswith("| speech | all | ")]
    assert [row.split(" | ")[2] for row in rows] == ["as recorded", "-30 dB level"]


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        (lambda _: [], [], "holds no clips"),
        (
            lambda rows: [*rows[:2], {**rows[2], "kind": "Speech"}],
            [],
            "line 3: kind 'Speech' is none of speech, ",
        ),
        (
            lambda rows: [{**rows[0], "split": "tset"}],
            [],
            "line 1: split 'tset' is none of fit, choose, test",
        ),
        (lambda rows: [{**rows[0], "split": ["test"]}], [], "line 1: split ['test'] is none of"),
        (lambda rows: rows, ["--split", "tset"], "no clips in split 'tset', only in test"),
        (lambda rows: rows[-1:], [], "none of the 1 clips could be read"),
    ],
)
def test_nothing_to_judge_is_an_error(
    tiny_model: Whisper, tiny_path: Path, manifest: Path, change: Any, options: list[str], says: str
) -> None:
    """Not an empty table and exit code 0, with which a script goes on."""
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in change(rows)))
    result = check(manifest, tiny_model, tiny_path, *options)
    assert result.exit_code in (1, 2)
    error = result.stderr.splitlines()[-1]
    assert error.startswith("Error: ") and says in error


def test_no_artifact_names_the_remedy(
    tiny_path: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path / "cache"))
    result = CliRunner().invoke(main, ["check-gate", str(tiny_path), "--manifest", str(manifest)])
    assert result.exit_code == 1
    assert "whisper-steer fit" in result.output
