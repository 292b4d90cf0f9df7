"""A loaded artifact and how to use it: where somebody speaks, and what is done to the rest.

Every runtime asks `Steering.listen` first, then either decodes the spans of speech alone (mode "skip") or decodes all
of the recording with the windows that lie outside of the spans edited (mode "steer"). This is the only place where
activations are edited.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.gate.conformal import choose_threshold, smallest_promise
from whisper_steer.gate.hearing import Hearing, listen, listen_to_mel
from whisper_steer.models.hooks import hooked
from whisper_steer.risk.probe import Risk
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.find import find, resolve
from whisper_steer.steer.methods import METHODS

Mode = Literal["skip", "steer", "off"]

DEFAULT_MODE: Mode = "skip"
DEFAULT_METHOD = "silence"
DEFAULT_MAX_SUPPRESSED_SPEECH = 0.003
"""or the smallest that the calibration can promise, where that is more"""


class Steering:
    """A loaded artifact and how to use it.

    mode: "skip" does not decode what lies outside of the spans of speech, "steer" edits it and decodes, "off" is stock.
    method: how activations are edited in mode "steer", see `whisper_steer.steer.methods`; ``strength`` None takes the
    artifact's. max_suppressed_speech: the promise that sets the gate's threshold, see `whisper_steer.gate.conformal`
    (a share; None is 0.3 %, or the least that the calibration can promise). Holds no state of a transcription: one may
    serve several threads.
    """

    def __init__(
        self,
        artifact: Artifact | str | Path,
        *,
        mode: Mode | None = None,
        method: str | None = None,
        strength: float | None = None,
        max_suppressed_speech: float | None = None,
    ) -> None:
        self.artifact = artifact if isinstance(artifact, Artifact) else Artifact.load(resolve(artifact))
        self.mode: Mode = mode or DEFAULT_MODE
        if self.mode not in get_args(Mode):
            raise UsageError(f"unknown mode {mode!r}; choose one of {', '.join(get_args(Mode))}")
        self.method_name = method or DEFAULT_METHOD
        self.method = METHODS.named(self.method_name)
        self.strength = self.artifact.strengths.get(self.method_name, 1.0) if strength is None else strength
        calibration = self.artifact.calibration
        least = max(DEFAULT_MAX_SUPPRESSED_SPEECH, smallest_promise(calibration.utterances))
        self.promise = least if max_suppressed_speech is None else max_suppressed_speech
        self.threshold = choose_threshold(
            calibration.curve, calibration.utterances, calibration.nonspeech, self.promise
        )

    @cached_property
    def risk(self) -> Risk | None:
        """How likely a segment says what nobody said, where the artifact knows. Raises `ArtifactError`."""
        artifact = self.artifact
        return Risk.load(artifact.path, (artifact.fingerprint, artifact.fingerprint_bfloat16))

    def describe(self) -> dict[str, Any]:
        """What acts, for results and logs."""
        return {
            "artifact": self.artifact.name,
            "fingerprint": self.artifact.fingerprint,
            "mode": self.mode,
            "method": self.method_name if self.mode == "steer" else None,
            "strength": self.strength if self.mode == "steer" else None,
            "threshold": self.threshold,
            "max_suppressed_speech": self.promise,
        }

    def prefix(self, encoder: nn.Module) -> Prefix:
        """The part of an encoder of openai-whisper that listening runs."""
        return Prefix(encoder, self.artifact.gate_point, fast=True)

    def listen(self, prefix: Prefix, audio: np.ndarray | Tensor) -> Hearing:
        """Where somebody speaks in samples (n,) float32 at 16 kHz."""
        return listen(prefix, self.artifact.gate, audio, self.threshold)

    def listen_to_mel(self, prefix: Prefix, mel: Tensor) -> Hearing:
        """Where somebody speaks in a recording of which there is only its log-mel (mels, frames)."""
        return listen_to_mel(prefix, self.artifact.gate, mel, self.threshold)

    def edit(self, hidden: Tensor) -> Tensor:
        """Activations (batch, frames, state) at the hook point -> all of them edited, in their dtype."""
        edits = self.artifact.edits.to(hidden.device)
        chosen = hidden.float()
        change = self.method(chosen, edits, self.strength)
        return torch.where(change == 0, chosen, chosen + change).to(hidden.dtype)

    def unspoken(self, hidden: Tensor) -> Tensor:
        """Windows in which nobody speaks, (batch,) bool, by their activations at the gate's hook point."""
        evidence = self.artifact.gate.to(hidden.device).evidence(hidden)
        return (evidence < self.threshold).all(dim=-1)

    @contextmanager
    def editing(self, encoder: nn.Module) -> Iterator[None]:
        """Edit the windows in which nobody speaks in every pass of an encoder, for the ``with`` block.

        In this thread's passes only: another may listen with the same blocks meanwhile.
        """
        thread = threading.get_ident()
        found: list[Tensor] = []

        def judge(hidden: Tensor) -> None:
            if threading.get_ident() == thread:
                found[:] = [self.unspoken(hidden)]

        def edit(hidden: Tensor) -> Tensor | None:
            if threading.get_ident() != thread:
                return None
            (rows,) = found
            if not bool(rows.any()):
                return None
            edited = hidden.clone()
            edited[rows] = self.edit(hidden[rows])
            return edited

        with hooked(encoder, (self.artifact.gate_point, judge), (self.artifact.hook_point, edit)):
            yield


def steering_for(
    fingerprint: Callable[[], str],
    steering: Steering | str | Path | None,
    *,
    mode: Mode | None = None,
    method: str | None = None,
    max_suppressed_speech: float | None = None,
) -> Steering | None:
    """The `Steering` for a model, checked against its encoder's ``fingerprint``; None for stock. All runtimes ask here.

    ``steering``: "auto" finds the artifact by the fingerprint, None is stock, else an artifact's folder or name, or a
    `Steering`, with which the other options cannot go. Raises `ArtifactError` (none for this model),
    `FingerprintError`, `UsageError`.
    """
    if isinstance(steering, Steering):
        if (mode, method, max_suppressed_speech) != (None, None, None):
            raise UsageError(
                "give mode, method and max_suppressed_speech to Steering(...) or here, not to both"
            )
        ready = steering
    elif steering is None or mode == "off":
        return None
    else:
        path = find(fingerprint()) if steering == "auto" else resolve(steering)
        if path is None:
            raise ArtifactError(
                "no steering ships for this checkpoint; make one with: whisper-steer fit MODEL (or pass steering=None)"
            )
        ready = Steering(path, mode=mode, method=method, max_suppressed_speech=max_suppressed_speech)
    if ready.mode == "off":
        return None
    ready.artifact.check(fingerprint())
    return ready
