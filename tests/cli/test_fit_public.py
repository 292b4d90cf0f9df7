"""If these fail, `whisper-steer fit MODEL --data public` ends in no artifact, or in one that hides what it is from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import archives
import pytest
from archives import serving, small
from helpers import run

from whisper_steer.data.public.catalogue import CORPORA
from whisper_steer.data.public.download import MIRROR
from whisper_steer.fit import pipeline
from whisper_steer.steer.artifact import Artifact

pytestmark = pytest.mark.usefixtures("loud_is_speech")

CORPORA_NAMED = ("librispeech-dev-clean", "fleurs-de_de", "esc50", "musan")
SMALL = ("--scenes", "6", "--speech-windows", "4", "--nonspeech-windows", "4", "--sae-steps", "20")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fit itself is real, but spends less than any option allows."""
    real = pipeline.fit

    def fit(*args: Any, plan: pipeline.Plan, **options: Any) -> Artifact:
        training = replace(plan.training, k=4, expansion=2, batch=256)
        less = replace(plan, hard=1, strength_windows=2, recordings=1, conv_steps=20, training=training)
        return real(*args, plan=less, **options)

    monkeypatch.setattr(pipeline, "fit", fit)


def test_one_command_from_a_name_to_an_artifact(
    quick: None, tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = archives.mirror()
    for name in CORPORA_NAMED:
        monkeypatch.setitem(CORPORA, name, small(name, contents))
    with serving() as server:
        server.files = contents
        monkeypatch.setenv(MIRROR, server.address)
        monkeypatch.setenv("WHISPER_STEER_DATA", str(tmp_path / "data"))
        monkeypatch.setenv("NO_PROXY", "*")
        data = [part for name in CORPORA_NAMED for part in ("--data", name)]
        done = run("fit", tiny_path, *data, *SMALL, "--held-out", "4", "-o", tmp_path / "made")
    assert done.exit_code == 0, done.output
    told = done.stderr
    assert told.index("CC BY-NC 3.0") < told.index("0%|"), "licences before the first byte"
    artifact = Artifact.load(tmp_path / "made")
    assert [each["name"] for each in artifact.info["corpora"]] == list(CORPORA_NAMED)
    assert artifact.info["corpora"][2]["licence"] == "CC BY-NC 3.0"
    counts = artifact.info["data"]
    assert set(counts["speech/fit"]) == {"librispeech/dev-clean", "fleurs"}
    assert set(counts["speech/choose"]) == {"librispeech/dev-clean"}
    assert "musan/noise" in counts["nonspeech/fit"]
    assert artifact.info["command"].startswith("whisper-steer")


def test_wrong_names_and_mixed_sources_are_usage_errors(tiny_path: Path, tmp_path: Path) -> None:
    unknown = run("fit", tiny_path, "--data", "libri", "-o", tmp_path / "made")
    assert unknown.exit_code == 2 and "choose one of public, fleurs, librispeech-dev-clean" in unknown.output
    both = run("fit", tiny_path, "--data", "esc50", "--speech", tmp_path, "-o", tmp_path / "made")
    assert both.exit_code == 2 and "not several of them" in both.output
