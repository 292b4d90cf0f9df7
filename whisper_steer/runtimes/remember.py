"""A window is encoded once: openai-whisper's `transcribe` over a model that remembers the last window's features.

Stock encodes a window anew for every temperature that it tries. And a recording of one window has been through the
convolutions when it was listened to: its features are made from there.
"""

from __future__ import annotations

from typing import Any

import torch
import whisper
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.model import Whisper

from whisper_steer.encoders.prefix import Prefix, run_from


class Keeping(Prefix):
    """A prefix that keeps the embedding of the window it ran last."""

    mel: Tensor | None = None
    embedded: Tensor | None = None

    def embedding(self, mel: Tensor) -> Tensor:
        self.mel, self.embedded = mel, super().embedding(mel)
        return self.embedded


class Remembering:
    """Stands in for a `Whisper` in stock's `transcribe`; every number is stock's, to the bit.

    kept: what listened, where the recording is one window.
    """

    def __init__(self, model: Whisper, kept: Keeping | None = None) -> None:
        self._model = model
        self._kept = kept
        self._mel: Tensor | None = None
        self._features: Tensor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, mel: Tensor, tokens: Tensor) -> Tensor:
        """Logits for word timestamps, from a pass of its own: stock's takes another attention kernel there."""
        return self._model(mel, tokens)

    def decode(self, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        """Decode one window (mels, 3000) at one temperature."""
        if self._mel is not mel:
            self._mel, self._features = mel, self._encode(mel.half() if options.fp16 else mel)
        return whisper.decode(self._model, self._features, options)

    @torch.no_grad()
    def _encode(self, mel: Tensor) -> Tensor:
        """Features (1500, n_state) of a window (mels, 3000)."""
        kept = self._kept
        if kept is not None and kept.mel is not None and kept.embedded is not None:
            known = kept.mel[0].to(mel.device)
            if known.dtype == mel.dtype and torch.equal(known, mel):
                return run_from(self._model.encoder, None, kept.embedded)[0]
        features: Tensor = self._model.encoder(mel[None])[0]
        return features
