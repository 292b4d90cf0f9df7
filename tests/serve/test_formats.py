"""Every answer as the official client reads it: users point it here and change nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
import soundfile
from serving import Endpoint
from whisper.utils import format_timestamp

from whisper_steer.serve.model import Served


@pytest.fixture(scope="module")
def alone(small: Served, wav_files: dict[str, Path]) -> Callable[[bool], dict[str, Any]]:
    """What the model writes for the chirp without a server, with word timestamps or without."""
    samples, _ = soundfile.read(wav_files["chirp"], dtype="float32")
    options = {"temperature": 0.0, "task": "transcribe", "language": "en", "initial_prompt": None}
    return lambda words: small(samples, {**options, "word_timestamps": words})


def test_json_and_text(
    endpoint: Endpoint, wav_files: dict[str, Path], alone: Callable[[bool], dict[str, Any]]
) -> None:
    create = endpoint.client().audio.transcriptions.create
    text = alone(False)["text"].strip()
    found = create(file=wav_files["chirp"], model="whisper-1")
    assert found.text == text != ""
    assert found.usage.type == "duration" and found.usage.seconds == 3
    assert create(file=wav_files["chirp"], model="whisper-1", response_format="text") == text + "\n"


def test_subtitles(
    endpoint: Endpoint, wav_files: dict[str, Path], alone: Callable[[bool], dict[str, Any]]
) -> None:
    first = alone(False)["segments"][0]
    start, end = (format_timestamp(first[name]) for name in ("start", "end"))
    create = endpoint.client().audio.transcriptions.create
    srt = create(file=wav_files["chirp"], model="whisper-1", response_format="srt")
    vtt = create(file=wav_files["chirp"], model="whisper-1", response_format="vtt")
    assert vtt.startswith(f"WEBVTT\n\n{start} --> {end}\n{first['text'].strip()}\n")
    assert srt.startswith(f"1\n00:{start} --> 00:{end}\n{first['text'].strip()}\n".replace(".", ","))


def test_verbose_with_words_and_steering(
    endpoint: Endpoint, wav_files: dict[str, Path], alone: Callable[[bool], dict[str, Any]]
) -> None:
    expected = alone(True)
    found = endpoint.client().audio.transcriptions.create(
        file=wav_files["chirp"],
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        language="en",
    )
    assert found.language == "english" and found.duration == 3.0
    assert found.text == expected["text"].strip()
    words = [word for segment in expected["segments"] for word in segment["words"]]
    assert [word.word for word in found.words] == [word["word"].strip() for word in words]
    assert [word.start for word in found.words] == [word["start"] for word in words]
    for segment, known in zip(found.segments, expected["segments"], strict=True):
        assert segment.text == known["text"] and segment.tokens == known["tokens"]
        assert segment.avg_logprob == pytest.approx(known["avg_logprob"], abs=1e-3)
        assert segment.steering["evidence"] == known["steering"]["evidence"]
    assert found.steering["spans"] == [
        {"start": 0.0, "end": 3.0, "evidence": found.steering["spans"][0]["evidence"]}
    ]


def test_granularity_alone(endpoint: Endpoint, wav_files: dict[str, Path]) -> None:
    create = endpoint.client().audio.transcriptions.create
    common = {"file": wav_files["tone"], "model": "whisper-1", "response_format": "verbose_json"}
    words = create(**common, timestamp_granularities=["word"])
    assert words.words and words.segments is None
    segments = create(**common)
    assert segments.segments and segments.words is None


def test_prompt_and_temperature_reach_the_model(endpoint: Endpoint, wav_files: dict[str, Path]) -> None:
    create = endpoint.client().audio.transcriptions.create
    common = {"file": wav_files["tone"], "model": "whisper-1"}
    plain = create(**common).text
    assert create(**common, prompt="Mozambique, Mombasa, Malindi.").text != plain
    warm = create(**common, temperature=0.7, response_format="verbose_json")
    assert {segment.temperature for segment in warm.segments} == {0.7}


def test_streamed(endpoint: Endpoint, wav_files: dict[str, Path]) -> None:
    client = endpoint.client()
    plain = client.audio.transcriptions.create(file=wav_files["chirp"], model="whisper-1").text
    events = list(client.audio.transcriptions.create(file=wav_files["chirp"], model="whisper-1", stream=True))
    *deltas, done = events
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert done.type == "transcript.text.done" and done.text == plain
    assert "".join(event.delta for event in deltas).strip() == plain
    endpoint.comes_to(running=0, waiting=0)


def test_other_containers(endpoint: Endpoint, tmp_path: Path, rng: np.random.Generator) -> None:
    """Of more than a megabyte: it went through a temporary file."""
    path = tmp_path / "long.flac"
    soundfile.write(path, 0.1 * rng.standard_normal(16000 * 25), 48000)
    with path.open("rb") as file:
        found = endpoint.client().audio.transcriptions.create(
            file=file, model="whisper-1", response_format="verbose_json"
        )
    assert path.stat().st_size > 500_000 and found.duration == pytest.approx(25 / 3, abs=0.01)


def test_models(endpoint: Endpoint, small: Served) -> None:
    client = endpoint.client()
    assert [model.id for model in client.models.list()] == [small.name]
    assert client.models.retrieve(small.name).object == "model"
    with pytest.raises(openai.NotFoundError) as error:
        client.models.retrieve("gpt-4o-transcribe")
    assert error.value.code == "model_not_found"
