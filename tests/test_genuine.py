"""If these fail, what is said of whisper-steer does not hold on the Whisper that people run: the genuine tiny.en."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import whisper
from helpers import QUICK, contents, run
from whisper.model import Whisper

import whisper_steer
from whisper_steer.synthetic import generate

GREEDY: dict[str, Any] = {"temperature": 0.0, "fp16": False, "language": "en"}
ENGINE_SECONDS = 31


@pytest.fixture(scope="module")
def mixed(spoken: np.ndarray) -> np.ndarray:
    """An engine, longer than a window, then 12 s of speech."""
    engine = generate("engine", ENGINE_SECONDS, seed=1)
    return np.concatenate([engine, spoken[: 12 * whisper.audio.SAMPLE_RATE]])


@pytest.fixture(scope="module")
def second_window(tiny_en: Whisper, mixed: np.ndarray) -> list[list[int]]:
    """What stock writes into the window that holds the speech, when it is asked for that one alone."""
    found = whisper.transcribe(tiny_en, mixed, clip_timestamps=[30.0], **GREEDY)
    assert len(found["text"].split()) > 15
    return [segment["tokens"] for segment in found["segments"]]


def test_stock_writes_where_nobody_speaks(tiny_en: Whisper, mixed: np.ndarray) -> None:
    """Without this the other tests would say nothing."""
    options = {**GREEDY, "clip_timestamps": [0.0, 30.0], "sample_len": 20}
    assert len(whisper.transcribe(tiny_en, mixed, **options)["text"].split()) > 3


def test_steered_it_writes_the_speech_as_stock_and_nothing_else(
    tiny_en: Whisper, mixed: np.ndarray, second_window: list[list[int]]
) -> None:
    found = whisper_steer.transcribe(tiny_en, mixed, **GREEDY)
    assert [window["action"] for window in found["steering"]["windows"]] == ["skipped", "untouched"]
    assert [segment["tokens"] for segment in found["segments"]] == second_window


@pytest.mark.parametrize("backend", ["faster", "transformers"])
def test_other_runtimes_write_the_same_from_the_same_weights(
    tiny_en: Whisper, mixed: np.ndarray, tmp_path: Path, backend: str
) -> None:
    soundfile.write(tmp_path / "mixed.wav", mixed, whisper.audio.SAMPLE_RATE, subtype="FLOAT")
    options = ["--model", "tiny.en", "--backend", backend, "--compute_type", "float32", "--device", "cpu"]
    done = run("transcribe", tmp_path / "mixed.wav", *options, *QUICK, "-o", tmp_path / "out", "-f", "json")
    assert done.exit_code == 0, done.stderr
    found = contents(tmp_path / "out")["mixed.json"]
    expected = whisper_steer.transcribe(tiny_en, mixed, **GREEDY)
    assert found["text"].split() == expected["text"].split()
    assert [window["action"] for window in found["steering"]["windows"]] == ["skipped", "untouched"]


def test_windows_with_speech_are_stocks_with_every_option_at_its_default(
    tiny_en: Whisper, spoken: np.ndarray
) -> None:
    stock = whisper.transcribe(tiny_en, spoken, fp16=False)
    ours = whisper_steer.transcribe(tiny_en, spoken, fp16=False)
    assert ours["text"] == stock["text"]
    for segment, expected in zip(ours["segments"], stock["segments"], strict=True):
        assert {k: v for k, v in segment.items() if k != "steering"} == expected


def test_the_model_is_chosen_where_none_is_named(
    tiny_en: Whisper, spoken: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the extra installed, a recording is all that the command needs; it says what it takes and why."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))  # no downloads of openai-whisper's
    soundfile.write(tmp_path / "a.wav", spoken[: 8 * 16000], 16000)
    done = run("transcribe", tmp_path / "a.wav", "-o", tmp_path / "out", "-f", "txt")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.splitlines()[0].startswith(("Model: tiny.en, the best", "Model: base, the best"))
    assert len((tmp_path / "out" / "a.txt").read_text().split()) > 10
