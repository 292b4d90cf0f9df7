"""If these fail, what is said of whisper-steer does not hold on the Whisper that people run: the genuine tiny.en."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import whisper
from helpers import QUICK, contents, run
from whisper.model import Whisper

import whisper_steer
from whisper_steer.audio.load import SAMPLE_RATE, load_audio
from whisper_steer.risk.collect import RAW
from whisper_steer.risk.probe import with_risk
from whisper_steer.risk.states import Watch
from whisper_steer.runtimes.openai import prepare, stock_loop
from whisper_steer.runtimes.remember import Remembering
from whisper_steer.steer.steering import Steering

ASSETS = Path(whisper_steer.__file__).parent / "assets"
START, END = 60.5, 134.0
"""of the excerpt of the demonstration, seconds: sentences, footsteps, sentences, 38 s of a clock, sentences"""


@pytest.fixture(scope="module")
def excerpt() -> np.ndarray:
    audio = load_audio(ASSETS / "demo.flac")
    return audio[round(START * SAMPLE_RATE) : round(END * SAMPLE_RATE)]


@pytest.fixture(scope="module")
def said() -> list[str]:
    """The words that are said in it."""
    card = json.loads((ASSETS / "demo.json").read_text(encoding="utf-8"))
    texts = [s["text"] for s in card["stretches"] if "text" in s and START <= s["start"] < s["end"] <= END]
    assert len(texts) == 3
    return words(" ".join(texts))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def transcribed(audio: np.ndarray, backend: str, folder: Path) -> dict[str, Any]:
    """What the command writes as JSON, by one greedy decoding with the model's own weights."""
    soundfile.write(folder / "visit.wav", audio, SAMPLE_RATE, subtype="FLOAT")
    options = ["--model", "tiny.en", "--backend", backend, "--device", "cpu", *QUICK]
    if backend != "openai":
        options += ["--compute_type", "float32"]
    done = run("transcribe", folder / "visit.wav", *options, "-o", folder / "out", "-f", "json")
    assert done.exit_code == 0, done.stderr
    found: dict[str, Any] = contents(folder / "out")["visit.json"]
    return found


@pytest.mark.parametrize("backend", ["openai", "faster", "transformers"])
def test_every_runtime_writes_what_is_said_and_nothing_else(
    tiny_en: Whisper, excerpt: np.ndarray, said: list[str], tmp_path: Path, backend: str
) -> None:
    """From one folder of weights; the clock is not decoded."""
    found = transcribed(excerpt, backend, tmp_path)
    assert words(found["text"]) == said
    spans = [(span["start"], span["end"]) for span in found["steering"]["spans"]]
    card = json.loads((ASSETS / "demo.json").read_text(encoding="utf-8"))
    (clock,) = [s for s in card["stretches"] if START < s["start"] < END and s["end"] - s["start"] > 30]
    within = [(max(a, clock["start"] - START), min(b, clock["end"] - START)) for a, b in spans]
    assert sum(max(0.0, b - a) for a, b in within) < 5


def test_mode_steer_writes_no_segment_without_text(
    tiny_en: Whisper, excerpt: np.ndarray, said: list[str]
) -> None:
    """Where the edit makes the decoder sure that nothing is said, stock keeps an empty segment: a blank subtitle."""
    ships = prepare(tiny_en, "auto")
    assert ships is not None
    steering = Steering(ships.artifact, mode="steer", strength=2.0)
    options: dict[str, Any] = {"fp16": False, "temperature": 0.0}
    found = whisper_steer.transcribe(tiny_en, excerpt, steering=steering, **options)
    assert words(" ".join(segment["text"] for segment in found["segments"])) == said
    assert all(segment["text"].strip() for segment in found["segments"])
    assert [segment["id"] for segment in found["segments"]] == list(range(len(found["segments"])))


def test_a_recording_of_speech_throughout_is_stocks(tiny_en: Whisper, spoken: np.ndarray) -> None:
    """Every field of every segment, with all options at their defaults."""
    stock = whisper.transcribe(tiny_en, spoken, fp16=False)
    ours: dict[str, Any] = whisper_steer.transcribe(tiny_en, spoken, fp16=False)
    assert len(ours["steering"]["spans"]) == 1
    assert len(stock["segments"]) > 2
    for segment, expected in zip(ours["segments"], stock["segments"], strict=True):
        assert {k: v for k, v in segment.items() if k not in ("steering", "risk")} == expected


def test_what_is_said_has_a_low_risk_and_what_noise_made_whisper_write_a_high_one(
    tiny_en: Whisper, excerpt: np.ndarray
) -> None:
    ships = prepare(tiny_en, "auto")
    assert ships is not None
    if ships.risk is None:
        pytest.skip("the artifact of tiny.en has no risk")
    options: dict[str, Any] = {"fp16": False, "temperature": 0.0}
    said = whisper_steer.transcribe(tiny_en, excerpt, **options)["segments"]
    card = json.loads((ASSETS / "demo.json").read_text(encoding="utf-8"))
    recording = load_audio(ASSETS / "demo.flac")
    invented: list[dict[str, Any]] = []
    for stretch in card["stretches"]:
        if "text" not in stretch and stretch["end"] - stretch["start"] > 3:
            start, end = (round(stretch[k] * SAMPLE_RATE) for k in ("start", "end"))
            invented += ungated(tiny_en, ships, recording[start : min(end, start + 20 * SAMPLE_RATE)])
    invented = [s for s in invented if words(s["text"])]
    assert invented, "stock writes nothing in the pauses of the demonstration"
    assert np.median([s["risk"] for s in invented]) > 0.5 > max(s["risk"] for s in said)


def ungated(model: Whisper, steering: Steering, samples: np.ndarray) -> list[dict[str, Any]]:
    """Segments of stock with all its thresholds off, with their risk."""
    risk, prefix = steering.risk, steering.prefix(model.encoder)
    assert risk is not None and risk.probes["states"].block is not None
    probe = risk.probes["states"]
    watch = Watch(model, [probe.block])
    watched = Remembering(model, watch=watch)
    segments = stock_loop(watched, samples, **RAW, fp16=False)["segments"]
    watched.finish()
    return with_risk(segments, risk, steering.listen(prefix, samples), watch.at(probe.position, segments))


@pytest.mark.parametrize("backend", ["openai", "faster", "transformers"])
def test_a_sentence_with_wrong_timestamps_is_not_lost(tiny_en: Whisper, tmp_path: Path, backend: str) -> None:
    """Here tiny.en writes a sentence that is said 18 s into its window as if it stood at the window's start."""
    audio = load_audio(ASSETS / "demo.flac")[12 * SAMPLE_RATE : 75 * SAMPLE_RATE]
    assert "blood pressure is normal" in transcribed(audio, backend, tmp_path)["text"]


def test_a_model_is_chosen_where_none_is_named(
    tiny_en: Whisper, excerpt: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the extra installed, a recording is all that the command needs; it says what it takes and why."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))  # no downloads of openai-whisper's
    soundfile.write(tmp_path / "a.wav", excerpt[: 6 * SAMPLE_RATE], SAMPLE_RATE)
    done = run("transcribe", tmp_path / "a.wav", "-o", tmp_path / "out", "-f", "txt")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.splitlines()[0].startswith(("Model: tiny.en, the best", "Model: base, the best"))
    assert "blood pressure" in (tmp_path / "out" / "a.txt").read_text(encoding="utf-8")
