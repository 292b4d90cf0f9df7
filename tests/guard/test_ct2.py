"""If these fail, faster-whisper repeats a sentence until its tokens run out, or changes text that does not loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whisper_steer.guard.loops import first
from whisper_steer.sounds import generate

OPTIONS: dict[str, Any] = {
    "beam_size": 1,
    "temperature": 0.0,
    "max_new_tokens": 60,
    "no_speech_threshold": None,
}


@pytest.fixture(scope="module")
def alarm() -> np.ndarray:
    """Half a minute on which tiny.en repeats one sentence."""
    return np.resize(generate("alarm", 2.0, 0), 30 * 16000).astype(np.float32)


def loops(segments: list[Any]) -> bool:
    """Whether a window loops."""
    for seek in {segment.seek for segment in segments}:
        tokens = [token for segment in segments if segment.seek == seek for token in segment.tokens]
        if first(tokens, 50363):
            return True
    return False


def test_a_window_that_loops_is_decoded_again(
    tiny_en_folder: Path, alarm: np.ndarray, spoken: np.ndarray
) -> None:
    from whisper_steer.runtimes.faster import WhisperModel

    options: dict[str, Any] = {"device": "cpu", "compute_type": "float32", "cpu_threads": 1, "steering": None}
    stock = WhisperModel(tiny_en_folder, **options)
    guarded = WhisperModel(tiny_en_folder, repetition_guard=True, **options)
    looped = list(stock.transcribe(alarm, **OPTIONS)[0])
    mended = list(guarded.transcribe(alarm, **OPTIONS)[0])
    assert loops(looped)
    assert not loops(mended)
    assert {"loop_mended": True} in [segment.steering for segment in mended]
    said = [list(model.transcribe(spoken, **OPTIONS)[0]) for model in (stock, guarded)]
    assert said[0] == said[1]
    assert all(segment.steering is None for segment in said[1])
