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
from whisper.audio import SAMPLE_RATE
from whisper.model import Whisper

from whisper_steer.audio.load import Mono, load_audio
from whisper_steer.demo.words import Column, Stretch, judge
from whisper_steer.gate.hearing import Hearing
from whisper_steer.models import checkpoints
from whisper_steer.models.load import load_model
from whisper_steer.runtimes.openai import listen, prepare, transcribe

ASSETS = Path(__file__).parent.parent / "assets"
RECORDING = ASSETS / "demo.flac"
CARD = ASSETS / "demo.json"
MODELS = ("tiny.en", "base")
"""the one that the recording was made for, and the one to take where that cannot be had"""
STOCK, STEERED = "stock Whisper", "whisper-steer"


@dataclass(frozen=True)
class Demonstration:
    """What is heard, what each system writes, and what the gate sees."""

    model: str
    audio: Mono
    stretches: tuple[Stretch, ...]
    columns: dict[str, Column]
    """`STOCK` and `STEERED`"""
    hearing: Hearing
    """the gate's evidence, its threshold, and the spans that were decoded"""
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
    return Demonstration(name, audio, stretches, columns, listen(model, audio, steering=steering), card)
