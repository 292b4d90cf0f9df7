"""The endpoint over the small random model in faster-whisper."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import Endpoint, Slow, serving

from whisper_steer.cli.backends import Runtime, load
from whisper_steer.cli.backends.faster import Faster
from whisper_steer.cli.loading import Loaded
from whisper_steer.cli.serve import LOADING, decoding_of, served
from whisper_steer.serve.model import Served


@pytest.fixture(scope="session")
def loaded(tiny_ct2: Path, artifacts: dict[str, Path]) -> Loaded:
    """The random model in faster-whisper, with an artifact by which all is speech."""
    steered = {"steering": artifacts["shut"], "repetition_guard": False}
    backend = load("faster", str(tiny_ct2), steered, Runtime(device="cpu", threads=1))
    assert isinstance(backend, Faster)
    backend.model.max_length = 32  # the random model has no more positions than 64
    return Loaded(str(tiny_ct2), backend.is_multilingual, backend.transcribe, backend)


@pytest.fixture(scope="session")
def small(loaded: Loaded) -> Served:
    """That model, greedy and never tried again at another temperature."""
    quick = {"beam_size": 1, "logprob_threshold": None, "compression_ratio_threshold": None}
    decoding = decoding_of(quick | {"no_speech_threshold": None})
    return served(loaded, {k: v for k, v in decoding.items() if k not in LOADING}, batch_size=8)


@pytest.fixture(scope="session")
def endpoint(small: Served) -> Iterator[Endpoint]:
    with serving(small) as running:
        yield running


@pytest.fixture
def slow() -> Iterator[Slow]:
    made = Slow(threading.Event())
    yield made
    made.go.set()
