"""One window through the encoder: activations -> gate -> clamp -> features, and what was decided.

This is the only place where activations are edited. Everything that runs a model (the drop-in `transcribe`, the
faster-whisper subclass, the transformers hook) goes through `Steering`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from whisper.audio import TOKENS_PER_SECOND

from whisper_steer import gate as gates
from whisper_steer.artifact import Artifact, resolve
from whisper_steer.errors import UsageError
from whisper_steer.hooks import hooked, run
from whisper_steer.methods import get_method

Mode = Literal["skip", "steer", "off"]
Action = Literal["untouched", "steered", "skipped"]
Scope = Literal["window", "segment", "frame"]

DEFAULT_MODE: Mode = "skip"
DEFAULT_METHOD = "clamp"
DEFAULT_SCOPE: Scope = "segment"
DEFAULT_MAX_SUPPRESSED_SPEECH = 0.005
SPEECH_MARGIN_FRAMES = 25
"""with scope "frame": half a second around a frame judged speech stays untouched"""
SEGMENT_MARGIN_FRAMES = 100
"""with scope "segment": segments within two seconds of a frame judged speech stay, as timestamps are not exact"""
MARGINS: dict[Scope, int] = {"segment": SEGMENT_MARGIN_FRAMES, "frame": SPEECH_MARGIN_FRAMES}


@dataclass(frozen=True)
class Decision:
    """What the gate found in one window, and what was done."""

    evidence: float
    """logit: the window's strongest 0.2 s of speech"""
    action: Action
    speech: tuple[tuple[float, float], ...] | None = None
    """spans, in seconds from the window's start, outside of which segments are dropped; None: none is"""

    def heard(self, start: float, end: float) -> bool:
        """Whether a segment between two places in the window, in seconds, may hold speech."""
        return self.speech is None or any(first < end and start < last for first, last in self.speech)

    def fields(self) -> dict[str, Any]:
        """What results say of it, in every runtime."""
        return {"evidence": self.evidence, "action": self.action}


class Steering:
    """A loaded artifact and how to use it.

    mode: "skip" does not decode windows in which nobody speaks, "steer" edits them and decodes, "off" is stock.
    method: how activations are edited in mode "steer", see `whisper_steer.methods`; ``strength`` None takes the
    artifact's. max_suppressed_speech: the promise that sets the gate's threshold (a share; None is 0.5 %).
    scope, in a window where somebody speaks: "window" leaves all of it to stock; "segment" does as well, and then
    drops the segments that lie two seconds or more away from speech by their timestamps; "frame" edits the frames half
    a second or more away (mode "steer"). gated=False edits every frame of every window.
    """

    def __init__(
        self,
        artifact: Artifact | str | Path,
        *,
        mode: Mode | None = None,
        method: str | None = None,
        strength: float | None = None,
        max_suppressed_speech: float | None = None,
        scope: Scope = DEFAULT_SCOPE,
        gated: bool = True,
    ) -> None:
        self.artifact = artifact if isinstance(artifact, Artifact) else Artifact.load(resolve(artifact))
        self.mode: Mode = mode or DEFAULT_MODE
        if self.mode not in get_args(Mode):
            raise UsageError(f"unknown mode {mode!r}; choose one of {', '.join(get_args(Mode))}")
        if scope not in get_args(Scope):
            raise UsageError(f"unknown scope {scope!r}; choose one of {', '.join(get_args(Scope))}")
        self.scope: Scope = scope
        self.gated = gated
        self.method_name = method or DEFAULT_METHOD
        self.method = get_method(self.method_name)
        self.strength = self.artifact.strengths.get(self.method_name, 1.0) if strength is None else strength
        self.promise = (
            DEFAULT_MAX_SUPPRESSED_SPEECH if max_suppressed_speech is None else max_suppressed_speech
        )
        self.threshold = gates.choose_threshold(
            self.artifact.speech_scores, self.artifact.nonspeech_scores, self.promise
        )
        self._edits, self._gate = self.artifact.edits, self.artifact.gate

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

    @torch.no_grad()
    def encode(self, encoder: nn.Module, mel: Tensor) -> tuple[Tensor, list[Decision]]:
        """Log-mel windows (batch, mels, 3000) -> features (batch, 1500, state) and one `Decision` a window.

        Features of a window left untouched equal the encoder's own, to the bit. At ``ln_post``, which is what the
        encoder puts out, no hook is needed: a compiled encoder runs compiled.
        """
        if self.artifact.hook_point == "ln_post":
            features = encoder(mel)
            edited, decisions = self.edit(features)
            return features if edited is None else edited, decisions
        edit = WindowEdit(self)
        with hooked(encoder, (self.artifact.hook_point, edit)):
            features = run(encoder, mel)
        return features, edit.decisions

    def edit(self, hidden: Tensor) -> tuple[Tensor | None, list[Decision]]:
        """Activations (batch, frames, state) at the hook point -> the same edited, or None where nothing changes.

        A window with a frame whose evidence is not finite, as from activations that overflowed, cannot be judged: it
        counts as speech in all its frames, with infinite evidence.
        """
        if self._gate.mean.device != hidden.device:
            self._edits, self._gate = self._edits.to(hidden.device), self._gate.to(hidden.device)
        frames = self._gate.frame_evidence(hidden)
        frames = frames.where(frames.isfinite().all(dim=-1, keepdim=True), torch.inf)
        evidence = gates.pool(frames)
        speech = (evidence >= self.threshold) & self.gated
        acting: Action = "steered" if self.mode == "steer" else "skipped"
        margin = MARGINS.get(self.scope) if self.gated else None
        near = None if margin is None else self._near_speech(frames, margin)
        decisions = [
            Decision(
                value,
                "untouched" if shut else acting,
                spans(near[i]) if shut and near is not None and self.scope == "segment" else None,
            )
            for i, (value, shut) in enumerate(zip(evidence.tolist(), speech.tolist(), strict=True))
        ]
        if self.mode != "steer":
            return None, decisions
        rows = (
            torch.arange(len(hidden), device=hidden.device)
            if self.scope == "frame"
            else (~speech).nonzero()[:, 0]
        )
        if len(rows) == 0:
            return None, decisions
        chosen = hidden[rows].float()
        change = self.method(chosen, self._edits, self.strength)
        if self.scope == "frame" and near is not None:
            change = change.masked_fill(near[..., None], 0.0)
        edited = hidden.clone()
        edited[rows] = torch.where(change == 0, chosen, chosen + change).to(hidden.dtype)
        return edited, decisions

    def _near_speech(self, frame_evidence: Tensor, margin: int) -> Tensor:
        """Frames (batch, n) that are judged speech or lie within ``margin`` frames of one that is."""
        pooled = gates.moving_mean(frame_evidence)
        judged = torch.nn.functional.pad((pooled >= self.threshold).float(), (0, gates.POOL_FRAMES - 1))
        widened = torch.nn.functional.max_pool1d(judged[:, None], 2 * margin + 1, stride=1, padding=margin)
        return widened[:, 0] > 0


def spans(frames: Tensor) -> tuple[tuple[float, float], ...]:
    """Runs of True in (n,) frames -> (start, end) of each in seconds."""
    edges = torch.nn.functional.pad(frames.int(), (1, 1)).diff().nonzero()[:, 0].tolist()
    seconds = [edge / TOKENS_PER_SECOND for edge in edges]
    return tuple(zip(seconds[::2], seconds[1::2], strict=True))


class WindowEdit:
    """`Steering.edit` as a hook that remembers its decisions."""

    def __init__(self, steering: Steering) -> None:
        self.steering = steering
        self.decisions: list[Decision] = []

    def __call__(self, hidden: Tensor) -> Tensor | None:
        edited, decisions = self.steering.edit(hidden)
        self.decisions += decisions
        return edited
