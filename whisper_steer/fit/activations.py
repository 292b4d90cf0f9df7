"""Activations of windows, kept on disk as they come, so that a killed fit goes on where it was."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import whisper
from torch import Tensor, nn
from tqdm import tqdm
from whisper.audio import HOP_LENGTH, N_FRAMES, N_SAMPLES

from whisper_steer.fit.labels import FRAME_SAMPLES, FRAMES
from whisper_steer.fit.windows import Window
from whisper_steer.hooks import read_activations

WINDOWS_PER_PASS = 2


@dataclass
class Activations:
    """One hook point's activations of n windows.

    ``hidden``: (n, 1500, n_state) float16, memory-mapped; ``labels``: (n, 1500) int8; ``content``: (n,) frames of
    audio; ``speech``: (n,) bool; ``condition``: n names.
    """

    hidden: np.ndarray
    labels: np.ndarray
    content: np.ndarray
    speech: np.ndarray
    condition: list[str]

    def frames(self, index: int) -> Tensor:
        """(1500, n_state) float32 of one window."""
        return torch.from_numpy(np.array(self.hidden[index])).float()

    def frame_index(self, rng: np.random.Generator, padding_share: float = 0.05) -> np.ndarray:
        """(m, 2) of (window, frame): all frames of audio, and a few of the padding behind it."""
        position = np.arange(FRAMES)[None]
        keep = position < self.content[:, None]
        keep |= (~keep) & (rng.random(keep.shape) < padding_share)
        return np.argwhere(keep)


def log_mel(audio: np.ndarray, n_mels: int) -> Tensor:
    """One window (n_mels, 3000) of at most 30 s, as `whisper.transcribe` makes a recording's last window.

    What lies behind the audio is 0 in the log-mel, which is not what the log-mel of silence is.
    """
    mel = whisper.log_mel_spectrogram(audio[:N_SAMPLES], n_mels, padding=N_SAMPLES)
    return whisper.pad_or_trim(mel[:, : min(len(audio), N_SAMPLES) // HOP_LENGTH], N_FRAMES)


def record(
    encoder: nn.Module, windows: Iterable[Window], n: int, point: str, n_mels: int, folder: Path, label: str
) -> Activations:
    """Run n windows through the encoder and keep the activations at ``point`` in ``folder``.

    ``windows`` must be the same on a second call: those already done are passed over.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameter = next(encoder.parameters())
    n_state = int(parameter.shape[0])
    state = folder / f"{label}.json"
    done: list[dict[str, object]] = json.loads(state.read_text()) if state.exists() else []
    shapes = {"hidden": ((n, FRAMES, n_state), np.float16), "labels": ((n, FRAMES), np.int8)}
    arrays = {
        name: np.memmap(folder / f"{label}.{name}", dtype, "r+" if done else "w+", shape=shape)
        for name, (shape, dtype) in shapes.items()
    }
    batch: list[tuple[int, Window]] = []

    def run() -> None:
        mels = torch.stack([log_mel(w.samples[: w.content * FRAME_SAMPLES], n_mels) for _, w in batch])
        hidden = read_activations(encoder, mels.to(parameter.device, parameter.dtype), [point])[point]
        for (index, window), activation in zip(batch, hidden.half().cpu().numpy(), strict=True):
            arrays["hidden"][index], arrays["labels"][index] = activation, window.labels
            done.append(
                {"content": window.content, "speech": window.kind == "speech", "condition": window.condition}
            )
        batch.clear()
        for array in arrays.values():
            array.flush()
        scratch = state.with_suffix(".tmp")
        scratch.write_text(json.dumps(done))
        os.replace(scratch, state)

    with tqdm(total=n, initial=len(done), desc=f"encoder, {label}", unit="window") as bar:
        for index, window in enumerate(windows if len(done) < n else ()):
            if index < len(done):
                continue
            batch.append((index, window))
            if len(batch) == WINDOWS_PER_PASS or index == n - 1:
                bar.update(len(batch))
                run()
    return Activations(
        hidden=arrays["hidden"],
        labels=np.array(arrays["labels"]),
        content=np.array([d["content"] for d in done]),
        speech=np.array([d["speech"] for d in done]),
        condition=[str(d["condition"]) for d in done],
    )
