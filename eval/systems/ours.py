"""whisper-steer itself, in each mode, without the repetition guard, which is measured by itself (`eval/loops`); and
with a VAD."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.model import Whisper

import whisper_steer
from whisper_steer.data.clips import Audio
from whisper_steer.gate.hearing import Hearing
from whisper_steer.runtimes.remember import with_or_without_prompt
from whisper_steer.steer.steering import Mode, Steering

from ..metrics import Output
from ..session import Session, StandIn
from .base import System, register
from .spans import Places, Spans
from .vad import VadCut


class Ours(System):
    stage = "gate"
    uses_artifact = True
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

    def listen(self, session: Session, audio: Audio) -> Hearing:
        """Where the gate hears speech; its strongest evidence is noted."""
        hearing = self.steering.listen(self.steering.prefix(session.model.encoder), audio)
        session.note(float(hearing.evidence.max()))
        return hearing


@register
class OursSkip(Ours, Spans):
    name = "ours-skip"
    about = (
        "whisper-steer, mode skip: stock decodes the spans of speech that the gate hears, and nothing else; "
        "a window with far too little text without its prompt, too"
    )
    whole = True

    def spans(self, session: Session, audio: Audio) -> Places:
        hearing = self.listen(session, audio)
        self.whole = hearing.whole
        return [(span.start, span.end) for span in hearing.spans]

    def decode(self, session: Session, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        def decode(options: DecodingOptions) -> DecodingResult:
            return Spans.decode(self, session, mel, options)

        found = decode(options)
        return found if self.whole else with_or_without_prompt(session.model, mel, options, found, decode)


@register
class OursSteer(Ours):
    name = "ours-steer"
    about = "whisper-steer, mode steer: windows outside of the spans are clamped and decoded"
    mode = "steer"

    def transcribe(self, session: Session, audio: Audio) -> Output:
        session.start()
        model = cast(Whisper, StandIn(session, self))
        result = whisper_steer.transcribe(
            model, audio, steering=self.steering, repetition_guard=False, **session.options
        )
        with session.uncounted():
            self.listen(session, audio)
        return session.output(result)

    def encode(self, session: Session, mel: Tensor) -> Tensor:
        """A pass of its own: the encoder has steering's hooks on meanwhile, so what it gives is nobody else's."""
        return session.encodings.run(mel)


@register
class OursVad(VadCut, OursSkip):
    name = "ours-vad"
    stage = "audio"
    about = "Silero VAD cuts, whisper-steer (mode skip) decides on what is left"

    def decode_speech(self, session: Session, audio: Audio) -> Output:
        return OursSkip.transcribe(self, session, audio)
