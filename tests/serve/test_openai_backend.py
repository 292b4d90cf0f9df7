"""openai-whisper behind the endpoint: one request at a time, with all that stock does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import soundfile
import torch
import whisper
from serving import Endpoint, serving
from whisper.model import Whisper

from whisper_steer.cli.loading import Loaded
from whisper_steer.cli.serve import LOADING, decoding_of, served
from whisper_steer.runtimes.openai import transcribe
from whisper_steer.serve.jobs import Dropped, Jobs

QUICK = {"beam_size": None, "logprob_threshold": None, "compression_ratio_threshold": None, "fp16": False}


@pytest.fixture(scope="module")
def model(multilingual_path: Path) -> Whisper:
    return whisper.load_model(str(multilingual_path), device="cpu")


@pytest.fixture(scope="module")
def multilingual(model: Whisper) -> Iterator[Endpoint]:
    run = partial(transcribe, model, steering=None)
    decoding = {k: v for k, v in decoding_of(QUICK).items() if k not in LOADING} | {"fp16": False}
    with serving(served(Loaded("many", True, run, model), decoding, 8)) as running:
        yield running


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # the client's mark on translations
def test_translation(multilingual: Endpoint, model: Whisper, wav_files: dict[str, Path]) -> None:
    found = multilingual.client().audio.translations.create(
        file=wav_files["chirp"], model="many", response_format="verbose_json"
    )
    samples, _ = soundfile.read(wav_files["chirp"], dtype="float32")
    stock = whisper.transcribe(model, samples, task="translate", temperature=0.0, fp16=False,
                               logprob_threshold=None, compression_ratio_threshold=None)  # fmt: skip
    assert found.text == stock["text"].strip()
    assert found.language == "english"


def test_language_is_detected_or_given(
    multilingual: Endpoint, model: Whisper, wav_files: dict[str, Path]
) -> None:
    create = partial(
        multilingual.client().audio.transcriptions.create,
        file=wav_files["tone"],
        model="many",
        response_format="verbose_json",
    )
    assert create(language="de").language == "german"
    samples, _ = soundfile.read(wav_files["tone"], dtype="float32")
    detected = whisper.transcribe(model, samples, fp16=False, temperature=0.0)["language"]
    assert create().language == whisper.tokenizer.LANGUAGES[detected]


def test_dropped_work_stops_before_its_next_window(model: Whisper, multilingual: Endpoint) -> None:
    jobs, begun = Jobs(1), threading.Event()

    def work() -> None:
        begun.set()
        while True:  # windows of a long recording
            model.encoder(torch.zeros(1, 80, 3000))

    job = jobs.submit(work)
    begun.wait()
    job.drop()
    with pytest.raises(Dropped):
        job.future.result(30)
    model.encoder(torch.zeros(1, 80, 3000))  # other threads are left alone
    jobs.close()
