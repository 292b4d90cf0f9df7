"""Batches of training windows: log-mels padded as stock Whisper pads them, and their labels as tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import whisper

from whisper_steer.nano.labels import FIRST_TIME, frame_classes, neighbours, next_start, prompt, target
from whisper_steer.nano.speech import RATE
from whisper_steer.nano.strings import Composer, String


@dataclass
class Batch:
    """B windows of T encoder frames (20 ms) and N decoder positions."""

    mel: torch.Tensor
    """(B, 80, 2 T) float32."""
    offset: int
    """Encoder position of the first frame: other than 0 as if silence before it had been left out."""
    tokens: torch.Tensor
    """(B, N + 1) small vocabulary; padded with 0."""
    counts: torch.Tensor
    """(B, N) bool: outputs that are learned."""
    spans: torch.Tensor
    """(B, N, 2) first and last + 1 frame an output is heard at; -1 where there is none."""
    known: torch.Tensor
    """(B, N, 2) frames around the last timestamp written before an output; as `spans` where there is none."""
    classes: torch.Tensor
    """(B, T) silence or digit per frame."""
    around: torch.Tensor
    """(B, 5, T) what is said before and after each frame: labels.neighbours."""
    next_start: torch.Tensor
    """(B, T) timestamp (20 ms) of the next word's start, NaN after the last."""
    words: list[list[int]]
    """Digits of each window, for CTC."""


def window_mel(string: String, frames: int, rng: np.random.Generator) -> torch.Tensor:
    """(80, 2 frames) log-mel; half end in silence, half in the zeros that whisper.transcribe appends to a last window.

    Now and then the floor lies higher, as it does in a long recording with something louder elsewhere.
    """
    audio = np.zeros(frames * 320, np.float32)
    n = min(len(string.audio), len(audio))
    audio[:n] = string.audio[:n]
    mel = whisper.log_mel_spectrogram(torch.from_numpy(audio))
    if rng.random() < 0.3:
        mel = torch.maximum(mel, mel.max() - 2.0 + rng.uniform(0, 0.4))
    if rng.random() < 0.5:
        mel[:, n // 160 :] = 0.0
    return mel


ENCODER_ONLY = 0.13
"""Share of the training in which the encoder alone learns, from dense strings."""


def schedule(progress: float, rng: np.random.Generator) -> tuple[float, int, int, str]:
    """(seconds, words, batch size, kind) of a batch at `progress` in [0, 1]: short strings first, then whole windows.

    Kinds: "dense" and "cut" (windows as long as their audio), "full" (30 s), "stream" (30 s out of something longer).
    """
    if progress < ENCODER_ONLY:
        return 3.0, 20, 26, "dense"
    if progress < 0.3:
        return float(rng.uniform(2.5, 6)), 10, 18, "cut"
    full = 0.06 if progress < 0.45 else 0.2 if progress < 0.7 else 0.4
    if rng.random() < full:
        return 30.0, 60, 3, "stream" if rng.random() < 0.3 else "full"
    seconds = float(rng.uniform(3, 10.0 if progress < 0.45 else 16.0 if progress < 0.7 else 22.0))
    return seconds, max(3, int(seconds * 2.2)), max(4, int(85 / seconds)), "cut"


def make_batch(composer: Composer, progress: float, plan: np.random.Generator) -> Batch:
    """One batch of the size and kind that `schedule` draws from `plan`: workers that share it stay in step."""
    rng = composer.rng
    composer.hardness = min(max((progress - 0.08) / 0.3, 0.1), 0.9)
    prompted = progress > 0.5 and plan.random() < 0.15
    seconds, most, size, kind = schedule(progress, plan)
    strings = [composer.sample(seconds, most, kind) for _ in range(size)]
    frames = 1500
    if kind in ("dense", "cut"):
        frames = min(int(max(len(s.audio) for s in strings) / 320) + int(rng.integers(5, 20)), 1500)
    moved = rng.random() < (1.0 if kind == "dense" else 0.6 if kind == "cut" and progress < 0.6 else 0.1)
    offset = int(rng.integers(0, 1501 - frames)) if moved else 0
    targets = []
    for s in strings:
        earlier = prompt(rng) if prompted else []
        targets.append(target(s, bool(rng.random() < 0.7), earlier, frames / 50, offset / 50))
    n = max(len(t.spans) for t in targets)
    tokens = torch.zeros(size, n + 1, dtype=torch.long)
    counts = torch.zeros(size, n, dtype=torch.bool)
    spans, known = (torch.full((size, n, 2), -1, dtype=torch.long) for _ in range(2))
    for i, t in enumerate(targets):
        tokens[i, : len(t.tokens)] = torch.tensor(t.tokens)
        counts[i, t.first : len(t.spans)] = True
        for seconds_at, place in ((t.spans, spans), (t.known, known)):
            for j, span in enumerate(seconds_at):
                if span is not None:
                    a = min(max(int(span[0] * 50), 0), frames - 1)
                    place[i, j, 0], place[i, j, 1] = a, min(max(round(span[1] * 50), a + 1), frames)
    return Batch(
        mel=torch.stack([window_mel(s, frames, rng) for s in strings]),
        offset=offset,
        tokens=tokens,
        counts=counts,
        spans=spans,
        known=known,
        classes=torch.from_numpy(np.stack([frame_classes(s, frames) for s in strings])),
        around=torch.from_numpy(np.stack([neighbours(s, frames) for s in strings])),
        next_start=torch.from_numpy(np.stack([next_start(s, frames) for s in strings])) + offset,
        words=[[w.digit for w in s.words] for s in strings],
    )


def is_time(tokens: torch.Tensor) -> torch.Tensor:
    return tokens >= FIRST_TIME


__all__ = ["RATE", "Batch", "is_time", "make_batch", "schedule", "window_mel"]
