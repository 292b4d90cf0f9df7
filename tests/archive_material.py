"""Recordings, tars and manifests for the tests of archives."""

from __future__ import annotations

import io
import json
import os
import signal
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from whisper_steer.archive.plan import Part
from whisper_steer.archive.work import Load, Row, Worker
from whisper_steer.errors import ModelError


def sound(seconds: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.1, 0.1, round(16000 * seconds)).astype(np.float32)


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def wav(seconds: float, seed: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound(seconds, seed), 16000, format="WAV")
    return buffer.getvalue()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


DEADLY = 12345
"""samples of a recording that kills its worker"""


def light() -> Callable[[np.ndarray], dict[str, Any]]:
    """Loads no model: tells how many samples a recording has, and dies over `DEADLY`."""

    def transcribe(samples: np.ndarray) -> dict[str, Any]:
        if len(samples) == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        text = f" {len(samples)} samples"
        segment = {
            "start": 0.0,
            "end": len(samples) / 16000,
            "text": text,
            "steering": {"evidence": 2.0},
            "risk": 0.1,
        }
        spans = [{"start": 0.0, "end": 0.5, "evidence": 2.0}]
        return {"text": text, "language": "en", "segments": [segment], "steering": {"spans": spans}}

    return transcribe


def slow(log: Path) -> Callable[[np.ndarray], dict[str, Any]]:
    """`light`, half a second for each recording; the node of each is put down."""
    transcribe = light()
    import ray

    node = ray.get_runtime_context().get_node_id()

    def slowly(samples: np.ndarray) -> dict[str, Any]:
        time.sleep(0.5)
        with log.open("a") as file:
            file.write(f"{node} {len(samples)}\n")
        return transcribe(samples)

    return slowly


def fails() -> Any:
    raise ModelError("no such model")


class Here:
    """Workers in this process: one, in fact. ``done``: the keys of the sources it did, in their order."""

    def __init__(self, load: Load = light) -> None:
        self._load = load
        self.done: list[str] = []

    def __enter__(self) -> Here:
        self._worker = Worker(self._load)
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, parts: Iterable[Part]) -> Iterator[tuple[Part, list[Row] | None]]:
        for part in parts:
            self.done += [source.key for source in part.sources]
            yield part, self._worker.rows(part.sources)
