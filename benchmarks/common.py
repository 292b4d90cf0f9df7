"""What the benchmarks share: timing, sounds, and an artifact of the usual shape for models that have none."""

from __future__ import annotations

import os
import platform
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
from whisper_steer.fit.conv_gate import CONV_STEPS, HIDDEN
from whisper_steer.fit.selection import EDIT_LATENTS, GATE_LATENTS
from whisper_steer.gate.kinds import Gate
from whisper_steer.sae.model import Latents
from whisper_steer.steer import artifact as artifacts
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.methods import METHODS, Edits
from whisper_steer.steer.steering import Steering

RATE = 16000
OPEN, SHUT = 1e9, -1e9
"""thresholds under which no window, or every window, is judged speech"""


def machine() -> str:
    """The line that goes above every table."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{platform.machine()}, {cores} cores, torch {torch.__version__}, {torch.get_num_threads()} threads"
    )


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
    encoder: nn.Module, hook_point: str = "ln_post", *, gate: str = "conv", threshold: float = SHUT
) -> Artifact:
    """An artifact with random weights and as many latents as fitting selects, to measure the cost of one."""
    n_state = int(next(encoder.parameters()).shape[0])
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) / n_state**0.5

    def latents(n: int) -> Latents:
        return Latents(
            torch.zeros(n_state), random(n_state, n), random(n), torch.tensor(0.05), random(n, n_state)
        )

    ones = torch.ones(EDIT_LATENTS)
    n_features = {"sae": GATE_LATENTS, "dense": n_state, "conv": HIDDEN}[gate]
    network = [random(n_state, HIDDEN), random(HIDDEN), random(HIDDEN, HIDDEN, CONV_STEPS), random(HIDDEN)]
    return Artifact(
        name="stand-in",
        fingerprint=encoder_fingerprint(encoder),
        hook_point=hook_point,
        edits=Edits(latents(EDIT_LATENTS), ones, 0 * ones, ones, random(n_state)),
        gate=Gate(
            random(n_features),
            torch.tensor(0.0),
            torch.zeros(n_state),
            latents(GATE_LATENTS) if gate == "sae" else None,
            *(network if gate == "conv" else [None] * 4),
            random(n_features),
        ),
        speech_scores=torch.full((400,), threshold),
        nonspeech_scores=torch.full((400,), threshold),
        strengths=dict.fromkeys(METHODS, 1.0),
    )


def steering_for(encoder: nn.Module, **options: Any) -> Steering | None:
    """With the artifact that ships, if one does."""
    path = artifacts.find(encoder_fingerprint(encoder))
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
