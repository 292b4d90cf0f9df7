"""The demonstration recording through stock Whisper and through steering, on a genuine checkpoint.

Both run with the defaults of openai-whisper's `transcribe`. Those try again at higher temperatures, at random, where a
window's text looks bad to them. The recording is made so that no window of tiny.en does: what stock invents there
passes stock's own checks at temperature 0, and the same words come out every time. The seed is for other models.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from whisper.audio import N_FRAMES, N_SAMPLES, SAMPLE_RATE
from whisper.model import Whisper

from whisper_steer.audio.load import Mono, load_audio
from whisper_steer.audio.spectrogram import log_mel_spectrogram
from whisper_steer.demo.words import Column, Stretch, judge
from whisper_steer.encoders.hooks import read_activations
from whisper_steer.gate import kinds as gates
from whisper_steer.models import checkpoints
from whisper_steer.models.load import load_model
from whisper_steer.runtimes.openai import prepare, transcribe
from whisper_steer.steer.steering import Steering

ASSETS = Path(__file__).parent.parent / "assets"
RECORDING = ASSETS / "demo.flac"
CARD = ASSETS / "demo.json"
MODELS = ("tiny.en", "base")
"""the one that the recording was made for, and the one to take where that cannot be had"""
STOCK, STEERED = "stock Whisper", "whisper-steer"
EVIDENCE_PER_SECOND = 10


@dataclass(frozen=True)
class Demonstration:
    """What is heard, what each system writes, and what the gate sees."""

    model: str
    audio: Mono
    stretches: tuple[Stretch, ...]
    columns: dict[str, Column]
    """`STOCK` and `STEERED`"""
    evidence: list[float]
    """`EVIDENCE_PER_SECOND` logits a second"""
    threshold: float
    card: dict[str, Any]

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE


def choose_model() -> tuple[str, Whisper]:
    """The first of `MODELS` that is on this machine, on the CPU; where none is, the first, downloaded.

    Raises `ModelError`, which says what to do, where that fails.
    """
    here = (name for name in MODELS if checkpoints.find(name) is not None)
    name = next(here, MODELS[0])
    return name, load_model(name, device="cpu")


def demonstrate(name: str, model: Whisper) -> Demonstration:
    """Transcribe the recording twice. ``name`` is the model's, for those who read."""
    audio = load_audio(RECORDING)
    card = json.loads(CARD.read_text(encoding="utf-8"))
    stretches = tuple(Stretch(s["start"], s["end"], s.get("text"), s.get("label")) for s in card["stretches"])
    steering = prepare(model, "auto")
    assert steering is not None
    columns = {}
    for column, chosen in ((STOCK, None), (STEERED, steering)):
        torch.manual_seed(0)
        result = transcribe(model, audio, steering=chosen, language="en", fp16=False)
        columns[column] = judge(result["segments"], stretches)
    return Demonstration(
        name, audio, stretches, columns, evidence(model, audio, steering), steering.threshold, card
    )


def evidence(model: Whisper, audio: Mono, steering: Steering) -> list[float]:
    """The gate's reading of one window of 30 s after another: logits, the largest of each tenth of a second."""
    point, gate = steering.artifact.hook_point, steering.artifact.gate
    mel = log_mel_spectrogram(audio, model.dims.n_mels, padding=N_SAMPLES).to(model.device)
    found = []
    for first in range(0, len(audio) * 100 // SAMPLE_RATE, N_FRAMES):
        hidden = read_activations(model.encoder, mel[None, :, first : first + N_FRAMES], [point])[point]
        pooled = gates.moving_mean(gate.frame_evidence(hidden))
        padded = F.pad(pooled, (0, gates.POOL_FRAMES - 1), mode="replicate")
        found.append(F.max_pool1d(padded, 50 // EVIDENCE_PER_SECOND)[0])
    values: list[float] = torch.cat(found)[: len(audio) * EVIDENCE_PER_SECOND // SAMPLE_RATE].tolist()
    return values
