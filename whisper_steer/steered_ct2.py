"""CTranslate2's Whisper behind the gate.

`SteeredCT2` stands in for a ``ctranslate2.models.Whisper`` and keeps what the gate decided beside each encoder
output, so whatever calls ``encode`` and then ``generate`` (faster-whisper, its batched pipeline, whisperX) is steered:
windows without speech leave the batch and are never decoded, or are decoded from edited features. Language detection
sees what stock would.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from ctranslate2 import StorageView
from torch import Tensor, nn

from whisper_steer.errors import UsageError
from whisper_steer.steering import Decision, Steering
from whisper_steer.transcription import Tagged


@dataclass
class _Windows:
    """The windows behind one encoder output. Nothing here may hold that output, or neither would ever be freed."""

    decisions: list[Decision]
    features: Tensor | None
    """(batch, 1500, state) to decode from, steered where the decision says so; None: the encoder output itself"""
    unsteered: StorageView | None
    """what language detection sees, the mel; None: the encoder output itself"""


class SteeredCT2:
    """Stands in for a `ctranslate2.models.Whisper`; encoder outputs that it did not make pass through unchanged.

    encoder: a PyTorch encoder to hook, or None to edit what CTranslate2's own puts out. tokenizer: the model's, of
    ``tokenizers``. Raises `UsageError` for bfloat16, which NumPy cannot hold.
    """

    def __init__(self, model: Any, steering: Steering, encoder: nn.Module | None, tokenizer: Any) -> None:
        if "bfloat16" in model.compute_type:
            raise UsageError(
                f"compute type {model.compute_type} cannot be steered; choose float16, float32 or int8"
            )
        self._model = model
        self._steering = steering
        self._encoder = encoder
        if encoder is not None:
            half = model.device == "cuda" and "float16" in model.compute_type
            device = f"cuda:{model.device_index[0]}" if model.device == "cuda" else "cpu"
            encoder.to(device, torch.float16 if half else torch.float32)
        self._tokenizer = tokenizer
        self._eot = tokenizer.token_to_id("<|endoftext|>")
        self._windows: WeakKeyDictionary[StorageView, _Windows] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, features: StorageView, to_cpu: bool = False) -> StorageView:
        """Encode mel windows, and remember what the gate said of each."""
        if self._encoder is None:
            view = self._model.encode(features, to_cpu=to_cpu)
            edited, decisions = self._steering.edit(to_tensor(view))
            self._windows[view] = _Windows(decisions, edited, None)
            return view
        weight = next(self._encoder.parameters())
        mel = to_tensor(features).to(weight.device, weight.dtype)
        with self._lock:  # hooks of two threads must not meet on one encoder
            hidden, decisions = self._steering.encode(self._encoder, mel)
        view = to_view(hidden)
        steered = any(decision.action == "steered" for decision in decisions)
        self._windows[view] = _Windows(decisions, hidden, features if steered else None)
        return view

    def generate(self, features: StorageView, prompts: list[Any], **options: Any) -> list[Any]:
        """Decode the windows that are to be decoded; the others come back empty."""
        windows = self._windows.get(features)
        if windows is None:
            return self._model.generate(features, prompts, **options)
        results = [_empty(decision) for decision in windows.decisions]
        for action, changes in (("untouched", {}), ("steered", {"suppress_blank": False})):
            rows = [i for i, decision in enumerate(windows.decisions) if decision.action == action]
            if not rows:
                continue
            part = self._rows(features, windows, rows)
            found = self._model.generate(part, [prompts[i] for i in rows], **{**options, **changes})
            for i, result in zip(rows, found, strict=True):
                if action == "untouched" or self._has_text(result.sequences_ids[0]):
                    results[i] = _tagged(result, windows.decisions[i])
        return results

    def align(
        self, features: StorageView, start_sequence: Any, text_tokens: Any, num_frames: Any, **options: Any
    ) -> list[Any]:
        """Times of the tokens of each window; none for windows without text, which are not run."""
        windows = self._windows.get(features)
        if windows is None:
            return self._model.align(features, start_sequence, text_tokens, num_frames, **options)
        results: list[Any] = [SimpleNamespace(alignments=[], text_token_probs=[]) for _ in windows.decisions]
        rows = [i for i, decision in enumerate(windows.decisions) if decision.action != "skipped"]
        if rows:
            frames = [num_frames[i] for i in rows] if isinstance(num_frames, list) else num_frames
            tokens = [text_tokens[i] for i in rows]
            part = self._rows(features, windows, rows)
            found = self._model.align(part, start_sequence, tokens, frames, **options)
            for i, result in zip(rows, found, strict=True):
                results[i] = result
        return results

    def detect_language(self, features: StorageView) -> Any:
        """Probabilities of the languages, from what stock would see."""
        windows = self._windows.get(features)
        unsteered = None if windows is None else windows.unsteered
        return self._model.detect_language(features if unsteered is None else unsteered)

    def _rows(self, view: StorageView, windows: _Windows, rows: list[int]) -> StorageView:
        features = to_tensor(view) if windows.features is None else windows.features
        if len(rows) == len(windows.decisions):
            untouched = all(decision.action != "steered" for decision in windows.decisions)
            return view if untouched else to_view(features)
        return to_view(features[rows])

    def _has_text(self, tokens: list[int]) -> bool:
        return bool(self._tokenizer.decode([t for t in tokens if t < self._eot]).strip())


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


def _empty(decision: Decision) -> Any:
    """A result without text; its log-probability of 0 keeps faster-whisper from trying the window again."""
    return SimpleNamespace(
        sequences=[[]], sequences_ids=[[]], scores=[0.0], no_speech_prob=Tagged(1.0, decision)
    )


def _tagged(result: Any, decision: Decision) -> Any:
    names = ("sequences", "sequences_ids", "scores")
    return SimpleNamespace(
        **{name: getattr(result, name) for name in names},
        no_speech_prob=Tagged(result.no_speech_prob, decision),
    )
