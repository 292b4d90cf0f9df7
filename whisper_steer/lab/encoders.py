"""Encoders that the laboratory reads: Whisper's in any format, and HuBERT's.

Both give a frame of activations for 20 ms of sound, at hook points named as in `whisper_steer.models.hooks`; HuBERT
has no ``ln_post``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from whisper.audio import N_SAMPLES

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Audio
from whisper_steer.encoders.fingerprint import weights_fingerprint
from whisper_steer.errors import ModelError
from whisper_steer.files.card import read_json
from whisper_steer.formats.hf import import_transformers
from whisper_steer.models.hooks import Edit, hook_points, hooked, read_activations
from whisper_steer.models.load import load_model

FRAME_SAMPLES = 320
"""of 16 kHz: 20 ms"""


class SpeechEncoder(Protocol):
    """What all of them share."""

    points: list[str]
    """hook points, in the order in which the data passes them"""
    n_state: int
    """width of the activations"""
    fingerprint: str
    """of the weights, by their names in the checkpoint's own format"""
    device: torch.device

    def read(self, windows: Sequence[Audio], points: Sequence[str]) -> list[dict[str, Tensor]]:
        """Of windows of at most 30 s, each (n,) float32 at 16 kHz: activations (frames of audio, n_state) float32 by
        hook point, on ``device``. Raises `UsageError` for an unknown point."""
        ...


@dataclass
class WhisperEncoder:
    """An encoder of openai-whisper or transformers."""

    encoder: nn.Module
    n_mels: int
    n_state: int

    def __post_init__(self) -> None:
        self.points = hook_points(self.encoder)
        self.fingerprint = weights_fingerprint(dict(self.encoder.named_parameters()))
        self.device = next(self.encoder.parameters()).device

    def whole(self, windows: Sequence[Audio], points: Sequence[str]) -> dict[str, Tensor]:
        """The same with the padding behind the audio: (windows, 1500, n_state) by hook point."""
        samples = [torch.from_numpy(each[:N_SAMPLES]).to(self.device) for each in windows]
        mel = torch.stack([window_mel(each, self.n_mels) for each in samples])
        return read_activations(self.encoder, mel, list(points))

    def read(self, windows: Sequence[Audio], points: Sequence[str]) -> list[dict[str, Tensor]]:
        found = self.whole(windows, points)
        return [
            {point: hidden[i, : frames_in(samples)].float() for point, hidden in found.items()}
            for i, samples in enumerate(windows)
        ]


@dataclass
class HubertEncoder:
    """`HubertModel` of transformers, whose input is the waveform itself."""

    model: Any
    normalise: bool
    """bring each waveform to mean 0 and variance 1, as its preprocessor says"""

    def __post_init__(self) -> None:
        self.n_state = int(self.model.config.hidden_size)
        self.points = [f"blocks.{i}" for i in range(len(self.model.encoder.layers))]
        self.fingerprint = weights_fingerprint(dict(self.model.named_parameters()))
        self.device = next(self.model.parameters()).device

    def read(self, windows: Sequence[Audio], points: Sequence[str]) -> list[dict[str, Tensor]]:
        return [self._read(torch.from_numpy(samples[:N_SAMPLES]), points) for samples in windows]

    @torch.no_grad()
    def _read(self, samples: Tensor, points: Sequence[str]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}

        def keep(point: str) -> Edit:
            def look(hidden: Tensor) -> None:
                found[point] = hidden[0].float()

            return look

        x = samples.to(self.device)
        if self.normalise:
            x = (x - x.mean()) / (x.var(correction=0) + 1e-7).sqrt()
        with hooked(self.model.encoder, *((point, keep(point)) for point in points)):
            self.model(x[None])
        return found


def frames_in(samples: Audio) -> int:
    """Frames of sound in a window of at most 30 s; at least one."""
    return max(1, min(len(samples), N_SAMPLES) // FRAME_SAMPLES)


def open_encoder(name: str | Path, device: str | torch.device | None = None) -> SpeechEncoder:
    """The encoder of a checkpoint: whatever `load_model` takes, or a folder of transformers of Whisper or HuBERT.

    ``device``: None takes CUDA where there is one. Raises `ModelError`, `UsageError`, `MissingPackageError`.
    """
    folder = Path(name)
    kind = _model_type(folder / "config.json")
    if kind is None:
        model = load_model(str(name), device)
        return WhisperEncoder(model.encoder, model.dims.n_mels, model.dims.n_audio_state)
    if kind not in ("whisper", "hubert"):
        raise ModelError(f"{name} is a model of type {kind!r}: pass a Whisper or a HuBERT")
    import_transformers()
    from transformers import HubertModel, WhisperModel

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        loaded: Any = (WhisperModel if kind == "whisper" else HubertModel).from_pretrained(folder)
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{name} cannot be loaded: {str(error).splitlines()[0]}") from None
    loaded = loaded.to(device).float().eval().requires_grad_(False)
    if kind == "whisper":
        return WhisperEncoder(loaded.encoder, int(loaded.config.num_mel_bins), int(loaded.config.d_model))
    return HubertEncoder(loaded, _normalises(folder / "preprocessor_config.json"))


def _model_type(config: Path) -> str | None:
    """The type that a configuration of transformers names; None where there is none, as in a folder of CTranslate2."""
    try:
        found: Any = read_json(config)
    except (OSError, ValueError):
        return None
    return found.get("model_type") if isinstance(found, dict) else None


def _normalises(preprocessor: Path) -> bool:
    try:
        return bool(read_json(preprocessor).get("do_normalize", True))
    except (OSError, ValueError):
        return True
