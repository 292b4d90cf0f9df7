"""whisperX decodes what its detector hears: if the gate is not that detector, it writes where nobody speaks."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import whisper_steer
from whisper_steer.audio.load import SAMPLE_RATE, load_audio

pytest.importorskip(
    "whisperx", reason="whisperX pins other versions of torch: it has to be installed by hand"
)


def test_a_recording_with_a_pause_and_one_without_speech(tiny_en_folder: Path) -> None:
    from whisper_steer.runtimes.whisperx import load_model

    pipeline = load_model(tiny_en_folder, "cpu", compute_type="int8", threads=1, language="en")
    demo = load_audio(Path(whisper_steer.__file__).parent / "assets/demo.flac")[: 14 * SAMPLE_RATE]
    found = pipeline.transcribe(demo, batch_size=2, chunk_size=5)
    first, last = found["segments"]
    words = re.findall(r"[a-z]+", first["text"].lower())
    assert words == ["these", "are", "my", "notes", "on", "the", "first", "home", "visit", "of", "the", "day"]
    assert first["end"] < 5 and last["start"] > 11  # an engine runs between
    noise = 0.05 * np.random.default_rng(0).standard_normal(5 * SAMPLE_RATE).astype(np.float32)
    assert pipeline.transcribe(noise, batch_size=2)["segments"] == []
