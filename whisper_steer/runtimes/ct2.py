"""CTranslate2's Whisper and steering: PyTorch listens, and in mode "steer" edits what the encoder puts out.

CTranslate2 shows only what comes out of the encoder after ``ln_post``. Edits there are made on its own output; for
edits inside, PyTorch runs the whole encoder, hooked, at float32 speed on a CPU.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ctranslate2 import StorageView
from torch import Tensor, nn

from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.encoders.prefix import Prefix, blocks_before
from whisper_steer.errors import UsageError
from whisper_steer.formats import ct2 as formats
from whisper_steer.models.hooks import run
from whisper_steer.models.load import load_model
from whisper_steer.steer.steering import Steering


class CT2Editor:
    """Listens and edits beside a `ctranslate2.models.Whisper`.

    encoder: its encoder in openai-whisper's modules, or as many of its first blocks as are needed; it moves to the
    model's device. Raises `UsageError` for mode "steer" in bfloat16, which NumPy cannot hold.
    """

    def __init__(self, model: Any, steering: Steering, encoder: nn.Module) -> None:
        if steering.mode == "steer" and "bfloat16" in model.compute_type:
            raise UsageError(
                f"compute type {model.compute_type} cannot be edited; choose float16, float32 or int8, or mode skip"
            )
        half = model.device == "cuda" and "float16" in model.compute_type
        device = f"cuda:{model.device_index[0]}" if model.device == "cuda" else "cpu"
        self.encoder = in_half(encoder.to(device)) if half else encoder.to(device, torch.float32)
        self.steering = steering
        self.prefix: Prefix = steering.prefix(encoder)
        self._lock = threading.Lock()

    def edited(self, mel: np.ndarray, found: StorageView) -> StorageView:
        """What CTranslate2 encoded of log-mel windows (batch, mels, 3000), or one, edited where nobody speaks."""
        windows = torch.from_numpy(np.atleast_3d(mel) if mel.ndim == 3 else mel[None])
        if self.steering.artifact.hook_point != "ln_post":
            weight = next(self.encoder.parameters())
            with self._lock, self.steering.editing(self.encoder), torch.no_grad():
                return to_view(run(self.encoder, windows.to(weight.device, weight.dtype)))
        rows = self.steering.unspoken(self.prefix(windows))
        if not bool(rows.any()):
            return found
        hidden = to_tensor(found).clone()
        rows = rows.to(hidden.device)
        hidden[rows] = self.steering.edit(hidden[rows])
        return to_view(hidden)


def in_half(encoder: nn.Module) -> nn.Module:
    """An encoder of openai-whisper in float16, its norms in float32: in these it computes whatever it is given."""
    encoder.half()
    for module in encoder.modules():
        if isinstance(module, nn.LayerNorm):
            module.float()
    return encoder


def to_tensor(view: StorageView) -> Tensor:
    """The same memory as a tensor."""
    if view.device == "cuda":
        return torch.as_tensor(view, device=f"cuda:{view.device_index}")
    return torch.from_numpy(np.asarray(view))


def to_view(tensor: Tensor) -> StorageView:
    """The same memory, or a contiguous copy, for CTranslate2."""
    tensor = tensor.detach().contiguous()
    if tensor.device.type == "cuda":
        torch.cuda.synchronize(tensor.device)
        return StorageView.from_array(tensor)
    return StorageView.from_array(tensor.numpy())


@dataclass
class Source:
    """Where the encoder's weights can be read."""

    folder: str
    checkpoint: str | Path | None

    @cached_property
    def fingerprint(self) -> str:
        return (
            formats.fingerprint(self.folder) if self.checkpoint is None else encoder_fingerprint(self._whole)
        )

    @cached_property
    def _whole(self) -> nn.Module:
        return (
            load_model(self.checkpoint, "cpu").encoder
            if self.checkpoint
            else formats.load_encoder(self.folder)
        )

    def encoder_for(self, steering: Steering) -> nn.Module:
        """As much of the encoder as steering runs in PyTorch: up to the gate, or all where it edits inside."""
        artifact = steering.artifact
        if self.checkpoint is not None or (steering.mode == "steer" and artifact.hook_point != "ln_post"):
            return self._whole
        if artifact.gate_point == "ln_post":
            return self._whole
        return formats.load_encoder(self.folder, blocks_before(artifact.gate_point, 10_000))


__all__ = ["CT2Editor", "Source", "in_half", "to_tensor", "to_view"]
