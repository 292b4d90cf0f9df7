"""Encoder outputs of the windows at hand, computed once for all systems, and what each took to compute."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.models.hooks import hooked

from .store import digest

MEMO_WINDOWS = 24


class Encodings:
    """The last windows of a model. ``half``: whether it runs in float16."""

    def __init__(self, model: Whisper, half: bool) -> None:
        self.model, self.half = model, half
        self.points: set[str] = set()
        """hook points whose activations systems ask for"""
        self.most = MEMO_WINDOWS
        self.saved = 0.0
        """seconds of processor time that outputs from memory took when they were computed, added up"""
        self._encoded: OrderedDict[str, tuple[dict[str, Tensor], float]] = OrderedDict()
        self._edited: OrderedDict[tuple[str, str], Tensor] = OrderedDict()

    @torch.no_grad()
    def of(self, mel: Tensor) -> dict[str, Tensor]:
        """Log-mel window (mels, 3000) -> "features" and the activations at every point, (1500, state) each."""
        key = digest(mel)
        found, seconds = self._encoded.get(key, ({}, 0.0))
        if found and self.points <= found.keys():
            self.saved += seconds
        else:
            started, found = time.process_time(), {}
            with hooked(self.model.encoder, *((p, _keeper(found, p)) for p in sorted(self.points))):
                found["features"] = self.run(mel)
            self._encoded[key] = found, time.process_time() - started
        self._encoded.move_to_end(key)
        while len(self._encoded) > self.most:
            self._encoded.popitem(last=False)
        return found

    @torch.no_grad()
    def run(self, mel: Tensor) -> Tensor:
        """One pass of the encoder, with whatever hooks it has now."""
        batch = mel[None].to(self.model.device)
        return self.model.encoder(batch.half() if self.half else batch)[0]

    def edited(self, name: str, mel: Tensor, features: Callable[[], Tensor]) -> Tensor:
        """Features of a window as the system ``name`` edits them."""
        key = (name, digest(mel))
        if key not in self._edited:
            self._edited[key] = features()
        while len(self._edited) > MEMO_WINDOWS:
            self._edited.popitem(last=False)
        return self._edited[key]

    def forget(self) -> None:
        self._encoded.clear()
        self._edited.clear()
        self.most = MEMO_WINDOWS


def _keeper(kept: dict[str, Tensor], point: str) -> Any:
    def keep(hidden: Tensor) -> None:
        kept[point] = hidden[0].detach()

    return keep
