"""The windows of a recording as `whisper_steer.transcribe` decodes them, kept for the lenses.

Each is decoded without the text before it as a prompt and without the repetition guard, so that what a lens shows comes
from its audio alone, and a loop is seen as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from whisper.audio import FRAMES_PER_SECOND
from whisper.decoding import DecodingOptions, DecodingResult, DecodingTask
from whisper.model import Whisper

from whisper_steer.fit.strengths import skipped_by_whisper
from whisper_steer.lens.passes import encoder_states
from whisper_steer.runtimes.locks import lock_of
from whisper_steer.runtimes.openai import decode_heard, stock_loop
from whisper_steer.runtimes.remember import Remembering
from whisper_steer.steer.steering import Steering


@dataclass(frozen=True)
class Window:
    """One decoded window."""

    start: float
    """in the recording, seconds"""
    seconds: float
    """of audio, at most 30; padding behind it"""
    mel: Tensor
    """(mels, 3000)"""
    options: DecodingOptions
    """those of the attempt that was kept"""
    result: DecodingResult

    def initial(self, model: Whisper) -> list[int]:
        """The tokens before the written ones."""
        return list(DecodingTask(model, self.options).initial_tokens)

    @torch.no_grad()
    def states(self, model: Whisper) -> Tensor:
        """What the decoder would hear from each block of the encoder, the last being what it heard: (blocks, 1500,
        n_state)."""
        return encoder_states(model, self.mel[None])[:, 0]


@dataclass(frozen=True)
class Decoded:
    """A recording."""

    windows: list[Window]
    """those that became segments"""
    dropped: int
    """windows that Whisper decoded and dropped by its own rule"""
    text: str
    language: str
    seconds: float


class Watching(Remembering):
    """A model that keeps what it decoded: of each window the last attempt, which is the one that stock takes."""

    def __init__(self, model: Whisper) -> None:
        super().__init__(model)
        self.seen: list[tuple[Tensor, DecodingOptions, DecodingResult]] = []

    def decode(self, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        found = super().decode(mel, options)
        if self.seen and self.seen[-1][0] is mel:
            self.seen.pop()
        self.seen.append((mel, options, found))
        return found


def decode_windows(
    model: Whisper, samples: np.ndarray, steering: Steering | None, language: str | None = None
) -> Decoded:
    """Transcribe samples (n,) float32 at 16 kHz and keep the windows. ``steering``: in mode "skip"; None is stock."""
    watching = Watching(model)
    options: dict[str, Any] = {
        "condition_on_previous_text": False, "fp16": model.device.type != "cpu", "language": language,
    }  # fmt: skip
    if steering is None:
        with lock_of(model):
            found = dict(stock_loop(watching, samples, **options))
    else:
        hearing = steering.listen(steering.prefix(model.encoder), samples)
        with lock_of(model):
            found = decode_heard(watching, samples, steering, hearing, options)
    kept = [
        each for each in watching.seen if not skipped_by_whisper(each[2].no_speech_prob, each[2].avg_logprob)
    ]
    seeks = sorted({segment["seek"] for segment in found["segments"]})
    windows = [
        Window(seek / FRAMES_PER_SECOND, _seconds(mel), mel, given, result)
        for seek, (mel, given, result) in zip(seeks, kept, strict=True)
    ]
    text = " ".join(segment["text"].strip() for segment in found["segments"]).strip()
    dropped = len(watching.seen) - len(kept)
    return Decoded(windows, dropped, text, str(found["language"]), len(samples) / 16000)


def _seconds(mel: Tensor) -> float:
    """Of audio in a window, which ends where the log-mel is 0 from then on."""
    there = mel.abs().amax(dim=0).nonzero()
    return (int(there[-1]) + 1) / FRAMES_PER_SECOND if len(there) else 0.0
