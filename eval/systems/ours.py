"""whisper-steer itself, through its public `transcribe`, in each mode; and together with a VAD."""

from __future__ import annotations

import time
from typing import Any, ClassVar

from torch import Tensor, nn

import whisper_steer
from whisper_steer.data.clips import Audio
from whisper_steer.steer.steering import DEFAULT_SCOPE, Decision, Mode, Scope, Steering

from ..metrics import Output
from ..session import Session
from .base import System, register
from .vad import VadCut


class SessionSteering(Steering):
    """`Steering` that takes a window's activations from the session instead of running the encoder again."""

    def __init__(self, session: Session, mode: Mode, scope: Scope) -> None:
        super().__init__(session.need_artifact(), mode=mode, scope=scope)
        self.session = session

    def encode(self, encoder: nn.Module, mel: Tensor) -> tuple[Tensor, list[Decision]]:
        if not self.session.store.enabled:  # measuring cost
            return super().encode(encoder, mel)
        point = self.artifact.hook_point
        hidden = self.session.hidden(mel[0], point)
        edited, decisions = self.edit(hidden[None])
        features = self.session.encode(mel[0]) if edited is None else self.session.resume(edited[0], point)
        return features[None], decisions


class Ours(System):
    stage = "gate"
    uses_artifact = True
    mode: ClassVar[Mode] = "skip"
    scope: ClassVar[Scope] = DEFAULT_SCOPE
    steering: SessionSteering

    @classmethod
    def available(cls, session: Session) -> str | None:
        return None if session.artifact else "no steering artifact for this model"

    def load(self, session: Session, state: dict[str, Any]) -> None:
        self.steering = SessionSteering(session, self.mode, self.scope)

    @property
    def threshold(self) -> float:
        return self.steering.threshold

    def transcribe(self, session: Session, audio: Audio) -> Output:
        session.start()
        started = time.perf_counter()
        self.steering.session = session
        with session.store_decodings():
            result = whisper_steer.transcribe(
                session.model, audio, steering=self.steering, **{**session.options, **self.options}
            )
        for window in result["steering"]["windows"]:
            session.note(window["evidence"])
        return session.output(result, started)


@register
class OursSkip(Ours):
    name = "ours-skip"
    about = "whisper-steer, mode skip: windows that the gate calls non-speech are not decoded"


@register
class OursWindow(Ours):
    name = "ours-window"
    about = "the same, and windows with speech keep all of stock's text (scope window)"
    scope = "window"


@register
class OursSteer(Ours):
    name = "ours-steer"
    about = "whisper-steer, mode steer: such windows are clamped and decoded"
    mode = "steer"


@register
class OursVad(VadCut, Ours):
    name = "ours-vad"
    stage = "audio"
    about = "Silero VAD cuts, whisper-steer (mode skip) decides on what is left"

    def decode_speech(self, session: Session, audio: Audio) -> Output:
        return Ours.transcribe(self, session, audio)
