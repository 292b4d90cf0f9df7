"""What the benchmarks share: timing, sounds, and an artifact of the usual shape for models that have none."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from whisper_steer.data.own import folder as from_folder
from whisper_steer.data.pack import load_pack
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.errors import WhisperSteerError
from whisper_steer.fit.selection import EDIT_LATENTS, GATE_LATENTS
from whisper_steer.fit.silence import CHANGED, TOLD
from whisper_steer.gate.kinds import Conv, Gate, Linear
from whisper_steer.sae.model import Latents
from whisper_steer.steer.artifact import Artifact, Calibration
from whisper_steer.steer.find import find
from whisper_steer.steer.methods import METHODS, Edits
from whisper_steer.steer.silence import Condition, Silence
from whisper_steer.steer.steering import Steering

RATE = 16000
HIDDEN, CONV_STEPS = 64, 13
"""features and taps of a convolutional gate"""
OPEN, SHUT = 1e9, -1e9
"""thresholds under which nothing, or all of it, is judged speech"""


def seconds(run: Callable[[], Any], repeats: int) -> float:
    """Median wall time of ``run`` after one call to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def stand_in(
    encoder: nn.Module,
    hook_point: str = "ln_post",
    *,
    gate_point: str | None = None,
    gate: str = "conv",
    threshold: float = SHUT,
) -> Artifact:
    """An artifact with random weights and as many latents as fitting selects, to measure the cost of one.

    ``gate``: "conv", "dense" or "sae"; ``gate_point`` None is the hook point.
    """
    n_state = int(next(encoder.parameters()).shape[0])
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) / n_state**0.5

    def latents(n: int) -> Latents:
        return Latents(
            torch.zeros(n_state), random(n_state, n), random(n), torch.tensor(0.05), random(n, n_state)
        )

    def conv() -> Gate:
        taps = random(HIDDEN, HIDDEN, CONV_STEPS), random(HIDDEN)
        return Conv(
            torch.zeros(n_state),
            random(2 * HIDDEN),
            torch.tensor(0.0),
            random(n_state, HIDDEN),
            random(HIDDEN),
            *taps,
            *taps,
        )

    def linear(n: int, read: Latents | None) -> Gate:
        return Linear(torch.zeros(n_state), random(n), torch.tensor(0.0), read)

    kinds: dict[str, Callable[[], Gate]] = {
        "conv": conv,
        "dense": lambda: linear(n_state, None),
        "sae": lambda: linear(GATE_LATENTS, latents(GATE_LATENTS)),
    }
    ones = torch.ones(EDIT_LATENTS)
    calibration = Calibration(
        torch.tensor([[threshold, 0.0], [threshold + abs(threshold), 1.0]]), 400, torch.tensor([threshold])
    )
    told = Condition(latents(TOLD), random(TOLD), torch.zeros(()), torch.zeros(()))
    silence = Silence(latents(CHANGED), random(CHANGED), told)
    return Artifact(
        name="stand-in",
        fingerprint=encoder_fingerprint(encoder),
        hook_point=hook_point,
        edits=Edits(latents(EDIT_LATENTS), ones, 0 * ones, ones, random(n_state), silence),
        gate_point=gate_point or hook_point,
        gate=kinds[gate](),
        calibration=calibration,
        strengths=dict.fromkeys(METHODS, 1.0),
    )


def steering_for(encoder: nn.Module, **options: Any) -> Steering | None:
    """With the artifact that ships, if one does."""
    path = find(encoder_fingerprint(encoder))
    return None if path is None else Steering(path, **options)


def sounds(kind: str, minutes: float, folder: Path | None = None, seed: int = 0) -> np.ndarray:
    """Recordings of "speech" or "nonspeech" strung together with 0.5 s between them; from the built-in pack."""
    clips = from_folder(folder, kind) if folder else [c for c in load_pack() if c.kind == kind]  # type: ignore[arg-type]
    if not clips:
        raise WhisperSteerError(f"no recordings of {kind}")
    order = np.random.default_rng(seed).permutation(len(clips))
    wanted, parts, length = int(minutes * 60 * RATE), [], 0
    while length < wanted:
        for index in order:
            parts += [clips[index].samples(), np.zeros(RATE // 2, np.float32)]
            length += len(parts[-2]) + len(parts[-1])
            if length >= wanted:
                break
    return np.concatenate(parts)[:wanted].astype(np.float32)


def mixed(
    minutes: float, folders: tuple[Path | None, Path | None] = (None, None), block: int = 60
) -> np.ndarray:
    """One minute of speech, one of non-speech, and so on."""
    kinds = [sounds(k, minutes / 2, f) for k, f in zip(("speech", "nonspeech"), folders, strict=True)]
    size = block * RATE
    pairs = [
        piece
        for i in range(0, len(kinds[0]), size)
        for piece in (kinds[0][i : i + size], kinds[1][i : i + size])
    ]
    return np.concatenate(pairs)
