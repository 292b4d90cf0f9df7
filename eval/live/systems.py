"""What is compared: a stream in, when it told that speech starts and ends out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from whisper_steer.data.clips import Audio
from whisper_steer.live.listener import Listener
from whisper_steer.models.load import load_model

from .score import Stretch

SAMPLE_RATE = 16000
CHUNK = 512
"""samples that come at once; Silero's iterator takes no other number"""

System = Callable[[Audio], list[Stretch]]
"""samples of a recording -> stretches from the telling of each start to that of its end, in seconds"""

SILERO: dict[str, dict[str, Any]] = {
    "Silero, defaults": {},
    "Silero, stronger": {"threshold": 0.9, "min_silence_duration_ms": 500},
}
"""options of `silero_vad.VADIterator`"""


def listener(model: str) -> System:
    """`whisper_steer.Listener` at its defaults."""
    ours = Listener(load_model(model, "cpu"))

    def listen(samples: Audio) -> list[Stretch]:
        edges = [
            event.heard_at
            for start in range(0, len(samples), CHUNK)
            for event in ours.feed(samples[start : start + CHUNK])
        ]
        edges += [event.heard_at for event in ours.finish()]
        return list(zip(edges[::2], edges[1::2], strict=True))

    return listen


def silero(options: dict[str, Any]) -> System:
    """Silero's own iterator over a stream. It has no word for the end of a stream: speech lasts until then."""
    from silero_vad import VADIterator, load_silero_vad

    iterator = VADIterator(load_silero_vad(onnx=True), **options)

    def listen(samples: Audio) -> list[Stretch]:
        iterator.reset_states()
        edges: list[float] = []
        for end in range(CHUNK, len(samples) + 1, CHUNK):
            if iterator(torch.from_numpy(samples[end - CHUNK : end])):
                edges.append(end / SAMPLE_RATE)
        if len(edges) % 2:
            edges.append(len(samples) / SAMPLE_RATE)
        return list(zip(edges[::2], edges[1::2], strict=True))

    return listen


def systems(models: tuple[str, ...]) -> dict[str, Callable[[], System]]:
    """Name -> what makes it; models are loaded when it does."""
    made: dict[str, Callable[[], System]] = {f"Listener, {name}": _later(listener, name) for name in models}
    return made | {name: _later(silero, options) for name, options in SILERO.items()}


def _later(make: Callable[[Any], System], argument: Any) -> Callable[[], System]:
    return lambda: make(argument)
