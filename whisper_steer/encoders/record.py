"""Activations of windows, kept on disk as they come, so that a killed fit goes on where it was.

The files are named by everything they depend on: what was kept for other data, another model or another hook point is
never taken for what is asked now.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from tqdm import tqdm

from whisper_steer import __version__
from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.labels import FRAME_SAMPLES, FRAMES, Window
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.files.disk import allocate, write_whole

WINDOWS_PER_PASS = 2
WINDOWS_PER_PASS_ON_GPU = 32


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

    @property
    def heard(self) -> npt.NDArray[np.bool_]:
        """(n, 1500): the frames of audio, not those of the padding behind it."""
        return np.asarray(np.arange(FRAMES) < self.content[:, None])

    def gather(self, index: np.ndarray) -> Tensor:
        """(m, n_state) float32 of frames (m, 2) of (window, frame)."""
        return torch.from_numpy(self.hidden[index[:, 0], index[:, 1]]).float()

    def of(self, rows: np.ndarray) -> Activations:
        """Some of the windows, by a bool array (n,) or indices."""
        index = np.arange(len(self.speech))[rows]
        names = [self.condition[i] for i in index]
        return Activations(
            self.hidden[index], self.labels[index], self.content[index], self.speech[index], names
        )

    def digest(self) -> str:
        """20 hex digits of what is in it."""
        digest = hashlib.blake2b(json.dumps([self.hidden.shape, self.condition]).encode(), digest_size=10)
        for array in (self.hidden, self.labels, self.content, self.speech):
            digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
        return digest.hexdigest()

    def frame_index(self, rng: np.random.Generator, padding_share: float = 0.05) -> np.ndarray:
        """(m, 2) of (window, frame): all frames of audio, and a few of the padding behind it."""
        keep = self.heard
        keep |= (~keep) & (rng.random(keep.shape) < padding_share)
        return np.argwhere(keep)


def record(
    encoder: nn.Module,
    windows: Iterable[Window],
    n: int,
    point: str,
    n_mels: int,
    folder: Path,
    label: str,
    made_from: object,
) -> Activations:
    """Run n windows through the encoder and keep the activations at ``point`` in ``folder``.

    ``made_from``, as JSON, is all that the windows depend on. A second call with the same encoder, point, n and
    ``made_from`` passes over the windows already done. Raises `OSError` where the disk has no room for all n.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prefix = Prefix(encoder, point, fast=True)
    n_state = int(prefix.encoder.conv1.out_channels)
    depends = [__version__, encoder_fingerprint(encoder), point, n, n_mels, made_from]
    stem = f"{label}-{hashlib.sha256(json.dumps(depends).encode()).hexdigest()[:20]}"
    state = folder / f"{stem}.json"
    files: dict[str, tuple[Path, tuple[int, ...], np.dtype[Any]]] = {
        "hidden": (folder / f"{stem}.hidden", (n, FRAMES, n_state), np.dtype(np.float16)),
        "labels": (folder / f"{stem}.labels", (n, FRAMES), np.dtype(np.int8)),
    }
    done = _kept(state, {path: math.prod(shape) * dtype.itemsize for path, shape, dtype in files.values()})
    arrays = {name: np.memmap(path, dtype, "r+", shape=shape) for name, (path, shape, dtype) in files.items()}
    per_pass = WINDOWS_PER_PASS if prefix.device.type == "cpu" else WINDOWS_PER_PASS_ON_GPU
    batch: list[tuple[int, Window]] = []

    def run() -> None:
        mels = torch.stack([window_mel(w.samples[: w.content * FRAME_SAMPLES], n_mels) for _, w in batch])
        hidden = prefix(mels)
        for (index, window), activation in zip(batch, hidden.half().cpu().numpy(), strict=True):
            arrays["hidden"][index], arrays["labels"][index] = activation, window.labels
            done.append(
                {"content": window.content, "speech": window.kind == "speech", "condition": window.condition}
            )
        batch.clear()
        for array in arrays.values():
            array.flush()
        write_whole(state, json.dumps(done))

    with tqdm(total=n, initial=len(done), desc=f"encoder, {label}", unit="window") as bar:
        for index, window in enumerate(windows if len(done) < n else ()):
            if index < len(done):
                continue
            batch.append((index, window))
            if len(batch) == per_pass or index == n - 1:
                bar.update(len(batch))
                run()
    return Activations(
        hidden=arrays["hidden"],
        labels=np.array(arrays["labels"]),
        content=np.array([d["content"] for d in done]),
        speech=np.array([d["speech"] for d in done]),
        condition=[str(d["condition"]) for d in done],
    )


def _kept(state: Path, sizes: dict[Path, int]) -> list[dict[str, Any]]:
    """The windows already done; the files get room for the others, and start anew where one is not as it was left."""
    whole = all(path.is_file() and path.stat().st_size == size for path, size in sizes.items())
    try:
        done: list[dict[str, Any]] = json.loads(state.read_text()) if whole and state.is_file() else []
    except ValueError:
        done = []
    if not done:
        state.unlink(missing_ok=True)
        for path, size in sizes.items():
            with path.open("w+b") as file:
                allocate(file, size)
    return done
