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
    "max_new_tokens": 90,
    "no_speech_threshold": None,
}


@pytest.fixture(scope="module")
def alarm() -> np.ndarray:
    """Half a minute on which tiny.en repeats one sentence."""
    return np.resize(generate("alarm", 2.0, 0), 30 * 16000).astype(np.float32)


WINDOW = [{"start": 0.0, "end": 30.0}]


def loops(segments: list[Any]) -> bool:
    """Whether a window loops."""
    for seek in {segment.seek for segment in segments}:
        tokens = [token for segment in segments if segment.seek == seek for token in segment.tokens]
        if first(tokens, 50363):
            return True
    return False


def test_a_loop_ends_and_what_follows_is_read_on(
    tiny_en_folder: Path, alarm: np.ndarray, spoken: np.ndarray
) -> None:
    from whisper_steer.faster import WhisperModel

    options: dict[str, Any] = {"device": "cpu", "compute_type": "float32", "cpu_threads": 1, "steering": None}
    stock = WhisperModel(tiny_en_folder, **options)
    guarded = WhisperModel(tiny_en_folder, repetition_guard=True, **options)
    looped = list(stock.transcribe(alarm, **OPTIONS)[0])
    mended = list(guarded.transcribe(alarm, **OPTIONS)[0])
    assert loops(looped)
    assert not loops(mended)
    assert {"loop_mended": True} in [segment.steering for segment in mended]
    texts = [segment.text for segment in mended]
    assert max(map(texts.count, texts)) <= 2  # nor does it go on from window to window
    assert mended[0].text == looped[0].text
    assert mended[-1].seek > mended[0].seek  # the rest of the half minute was decoded
    said = [list(model.transcribe(spoken, **OPTIONS)[0]) for model in (stock, guarded)]
    assert said[0] == said[1]
    assert all(segment.steering is None for segment in said[1])


def test_windows_side_by_side_are_decoded_again(tiny_en_folder: Path, alarm: np.ndarray) -> None:
    from whisper_steer.faster import BatchedInferencePipeline, WhisperModel

    options: dict[str, Any] = {"device": "cpu", "compute_type": "float32", "cpu_threads": 1, "steering": None}
    pipeline = BatchedInferencePipeline(WhisperModel(tiny_en_folder, repetition_guard=True, **options))
    found = pipeline.transcribe(
        alarm, **OPTIONS, without_timestamps=False, vad_filter=False, clip_timestamps=WINDOW
    )
    segments = list(found[0])
    assert segments
    assert not loops(segments)
    assert {"loop_mended": True} in [segment.steering for segment in segments]
