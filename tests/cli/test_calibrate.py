"""If these fail, a user's own recordings set a wrong threshold, or none, or one that no later run takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers import ALWAYS_OPEN, make_artifact, run
from whisper.model import Whisper

from whisper_steer.audio.load import load_audio
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.fit.recalibrate import spoken_evidence, spoken_steps
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.find import find
from whisper_steer.steer.steering import Steering


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Fifty of half a second, each of another level, one that is silent and one that is no sound."""
    folder = tmp_path / "recordings"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(50):
        soundfile.write(folder / f"{i:02}.wav", rng.normal(size=8000) * 0.002 * (1 + i), 16000)
    soundfile.write(folder / "silent.wav", np.zeros(8000), 16000)
    (folder / "broken.wav").write_text("no audio")
    return folder


@pytest.fixture
def steered(tiny_model: Whisper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The artifact of the random model, found by its fingerprint, with a threshold that hears nobody."""
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path / "cache"))
    folder = make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN).save(
        tmp_path / "cache" / "steering" / "a-former-one"
    )
    (folder / "names.json").write_text("{}")
    return folder


def test_the_new_threshold_hears_all_of_them_and_later_runs_take_it(
    tiny_model: Whisper, tiny_path: Path, recordings: Path, steered: Path, tmp_path: Path
) -> None:
    fingerprint = encoder_fingerprint(tiny_model.encoder)
    assert find(fingerprint) == steered
    done = run("calibrate", tiny_path, recordings)
    assert done.exit_code == 0, done.output
    assert "silent.wav: Silero hears no speech" in done.stderr and "Skipping" in done.stderr
    assert "left out 100.00% of what is spoken" in done.stdout and "broken" in done.stdout
    assert "at most 1.96% is expected" in done.stdout
    found = find(fingerprint)
    assert found is not None and found != steered
    made, before = Artifact.load(found), Artifact.load(steered)
    assert made.calibration.utterances == 50 and made.name == "by-hand-calibrated"
    assert (found / "names.json").is_file() and made.load_sae().config == before.load_sae().config
    now = Steering(made)
    prefix = now.prefix(tiny_model.encoder)
    heard = [spoken_evidence(prefix, before.gate, load_audio(recordings / f"{i:02}.wav")) for i in range(50)]
    weakest = min(float(each.min()) for each in heard)
    assert weakest - 2e-3 < now.threshold < weakest
    listened = run("listen", recordings / "00.wav", "--model", tiny_path, "-o", tmp_path)
    assert listened.exit_code == 0 and "speech in 1 span" in listened.output
    again = run("calibrate", tiny_path, recordings)
    assert again.exit_code == 0 and find(fingerprint) == found
    assert "left out 0.00% of what is spoken" in again.stdout
    assert Artifact.load(found).name == "by-hand-calibrated"


def test_a_folder_of_ones_own_is_taken_only_where_it_is_named(
    tiny_model: Whisper, tiny_path: Path, recordings: Path, steered: Path, tmp_path: Path
) -> None:
    done = run("calibrate", tiny_path, recordings, "-o", tmp_path / "mine")
    assert done.exit_code == 0 and f"--steering {tmp_path / 'mine'}" in done.stdout
    assert find(encoder_fingerprint(tiny_model.encoder)) == steered
    assert json.loads((tmp_path / "mine" / "card.json").read_text())["recalibrated"]["recordings"] == 50
    refused = run("calibrate", tiny_path, recordings, "-o", recordings)
    assert refused.exit_code == 2 and len(refused.stderr.splitlines()) == 1


def test_too_few_and_none_are_one_line_each(tiny_path: Path, recordings: Path, steered: Path) -> None:
    few = run("calibrate", tiny_path, recordings / "00.wav", recordings / "01.wav")
    assert few.exit_code == 1
    assert few.stderr.splitlines()[-1] == (
        "Error: 2 recordings with speech are too few to calibrate on: give 50 or more, each of another person or "
        "occasion; 2 could promise no less than 33.3%"
    )
    none = run("calibrate", tiny_path, recordings / "silent.wav", recordings / "nowhere.wav")
    assert none.exit_code == 1
    assert none.stderr.splitlines()[-1].startswith("Error: 0 recordings with speech are too few")
    assert run("calibrate", tiny_path, recordings, "--steering", "none").exit_code == 2
    assert run("calibrate", tiny_path).exit_code == 2


def test_a_recording_of_any_length_is_judged_whole(spoken: np.ndarray) -> None:
    """29 s of speech after a minute of silence: what Silero hears there lies there, and only there."""
    late = np.concatenate([np.zeros(60 * 16000, np.float32), spoken])
    steps = spoken_steps(late)
    assert len(steps) == -(-len(late) // 640)
    assert not steps[: 60 * 25].any() and steps[60 * 25 :].mean() > 0.5
    assert not spoken_steps(np.zeros(0, np.float32)).any()
