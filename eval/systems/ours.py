"""whisper-steer itself, through its public `transcribe`, in each mode; and together with a VAD."""

from __future__ import annotations

import time
from typing import Any, ClassVar

import whisper_steer
from whisper_steer.steering import Mode, Steering

from ..clips import Audio
from ..metrics import Output
from ..session import Session
from .base import System, register
from .vad import VadCut


class Ours(System):
    stage = "gate"
    mode: ClassVar[Mode] = "skip"
    steering: Steering

    @classmethod
    def available(cls, session: Session) -> str | None:
        return None if session.artifact else "no steering artifact for this model"

    def load(self, session: Session, state: dict[str, Any]) -> None:
        self.steering = Steering(session.need_artifact(), mode=self.mode)

    @property
    def threshold(self) -> float:
        return self.steering.threshold

    def transcribe(self, session: Session, audio: Audio) -> Output:
        session.start()
        started = time.perf_counter()
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
