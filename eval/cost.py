"""Cost: real-time factors, each system measured in turn in the same process, nothing taken from the store.

The harness encodes a window once for every system. Stock itself encodes it again at every temperature, so stock is
also measured as it is shipped, under the name ``openai-whisper``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import whisper
from tqdm import tqdm

from whisper_steer.data.clips import Audio, Clip

from .session import Session
from .store import Store
from .systems import System

CLIPS_OF_A_KIND = 2


def measure(session: Session, systems: list[System], clips: list[Clip], repeats: int) -> list[dict[str, Any]]:
    """Rows: system, kind (speech, nonspeech, mixed), median real-time factor with its quartiles, encoder share."""
    fresh = Session(session.model, Store(None), session.options, session.seed, session.artifact)
    audio = samples(clips)
    clock = EncoderClock(session.model)
    runs: dict[str, Callable[[Audio], Any]] = {
        "openai-whisper": lambda x: whisper.transcribe(session.model, x, **session.options)
    }
    runs |= {system.name: partial(system.transcribe, fresh) for system in systems}
    seen: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in tqdm(range(repeats), desc="cost", unit="round"):
        for kind, recordings in audio.items():
            for recording in recordings:
                for name, transcribe in runs.items():
                    fresh.encodings.forget()
                    clock.seconds, started = 0.0, time.perf_counter()
                    transcribe(recording)
                    spent = time.perf_counter() - started
                    seen.setdefault((name, kind), []).append(
                        (spent * 16000 / len(recording), clock.seconds / spent)
                    )
    clock.remove()
    return [
        {
            "system": name,
            "kind": kind,
            "runs": len(values),
            "rtf": statistics.median(rtf for rtf, _ in values),
            "rtf_quartiles": [float(q) for q in np.quantile([rtf for rtf, _ in values], [0.25, 0.75])],
            "encoder_share": statistics.median(share for _, share in values),
        }
        for (name, kind), values in seen.items()
    ]


def samples(clips: list[Clip]) -> dict[str, list[Audio]]:
    """A few clips of each kind, and one recording that mixes them."""
    clean = [clip for clip in clips if clip.condition == "clean" and not clip.voice and clip.seconds <= 30]
    found: dict[str, list[Audio]] = {}
    for kind in ("speech", "nonspeech"):
        chosen = sorted((c for c in clean if c.kind == kind), key=lambda c: -c.seconds)
        half = chosen[len(chosen) // 2 :][:CLIPS_OF_A_KIND]
        if half:
            found[kind] = [clip.samples() for clip in half]
    if len(found) == 2:
        found["mixed"] = [np.concatenate([found["speech"][0], found["nonspeech"][0], found["speech"][-1]])]
    return found


class EncoderClock:
    """Adds up the seconds spent inside the encoder."""

    def __init__(self, model: whisper.Whisper) -> None:
        self.seconds = self._started = 0.0
        self._handles = [
            model.encoder.register_forward_pre_hook(self._start),
            model.encoder.register_forward_hook(self._stop),
        ]

    def _start(self, *_: object) -> None:
        self._started = time.perf_counter()

    def _stop(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._started

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()
