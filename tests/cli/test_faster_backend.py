"""If these fail, ``--backend faster`` decodes other parts of a recording than the command was told to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from whisper_steer.cli.backends.base import Runtime
from whisper_steer.cli.backends.faster import Faster

OPTIONS: dict[str, Any] = {"beam_size": 1, "temperature": 0.0, "max_new_tokens": 12, "language": "en"}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 s of noise."""
    path = tmp_path_factory.mktemp("audio") / "noise.wav"
    samples = 0.1 * np.random.default_rng(0).standard_normal(70 * 16000)
    soundfile.write(path, samples, 16000)
    return path


def transcribed(
    folder: Path,
    recording: Path,
    steering: Path | None,
    vad: bool | None,
    batched: bool = True,
    **options: Any,
) -> dict[str, Any]:
    runtime = Runtime(device="cpu", compute_type="float32", threads=1, batched=batched, vad_filter=vad)
    backend = Faster(str(folder), {"steering": steering}, runtime)
    return backend.transcribe(str(recording), verbose=None, **{**OPTIONS, **options})


@pytest.mark.parametrize("vad", [None, False])
def test_a_steered_batch_is_cut_by_the_gate(
    tiny_ct2: Path, recording: Path, artifacts: dict[str, Path], vad: bool | None
) -> None:
    """Silero is not asked unless it is named: to it, all of this is silence."""
    spoken = transcribed(tiny_ct2, recording, artifacts["shut"], vad)
    assert spoken["text"]
    (span,) = spoken["steering"]["spans"]
    assert (span["start"], span["end"]) == (0.0, 70.0)
    assert {segment["id"] for segment in spoken["segments"]} == set(range(len(spoken["segments"])))
    assert all("evidence" in segment["steering"] for segment in spoken["segments"])
    silent = transcribed(tiny_ct2, recording, artifacts["open"], vad)
    assert (silent["text"], silent["segments"], silent["steering"]["spans"]) == ("", [], [])


@pytest.mark.parametrize("batched", [True, False])
def test_silero_cuts_where_it_is_named(
    tiny_ct2: Path, recording: Path, artifacts: dict[str, Path], batched: bool
) -> None:
    assert transcribed(tiny_ct2, recording, artifacts["shut"], True, batched)["text"] == ""


def test_a_stock_batch_is_cut_by_silero_unless_told_otherwise(tiny_ct2: Path, recording: Path) -> None:
    assert transcribed(tiny_ct2, recording, None, None)["text"] == ""
    windows = transcribed(tiny_ct2, recording, None, False)
    assert {segment["seek"] for segment in windows["segments"]} == {0, 3000, 6000}
    assert "steering" not in windows
    clips = transcribed(tiny_ct2, recording, None, None, clip_timestamps="5,50")
    assert {segment["seek"] for segment in clips["segments"]} == {500, 3500}


@pytest.mark.parametrize("batched", [True, False])
def test_the_users_clips_are_kept_to(
    tiny_ct2: Path, recording: Path, artifacts: dict[str, Path], batched: bool
) -> None:
    for clips, empty in (("5,15", False), ("80,90", True)):
        found = transcribed(tiny_ct2, recording, artifacts["shut"], None, batched, clip_timestamps=clips)
        assert (found["text"] == "") == empty
        assert all(5.0 <= s["start"] < 15.0 for s in found["segments"][:1])
