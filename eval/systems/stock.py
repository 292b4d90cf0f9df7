"""openai-whisper as it comes, and its own switches."""

from __future__ import annotations

import whisper_steer
from whisper_steer.data.clips import Audio

from ..metrics import Output
from ..session import Session
from .base import System, register


@register
class Stock(System):
    name = "stock"
    stage = "stock"
    about = "openai-whisper, its default thresholds on"


@register
class ThresholdsOff(System):
    name = "stock-thresholds-off"
    stage = "stock"
    about = "no_speech, logprob and compression-ratio thresholds off: greedy decoding only"
    options = {"no_speech_threshold": None, "logprob_threshold": None, "compression_ratio_threshold": None}  # noqa: RUF012


@register
class BanLifted(System):
    name = "ban-lifted"
    stage = "stock"
    about = "stock with end-of-text allowed as the first token; nothing else changed"
    lift_ban = True


@register
class HallucinationThreshold(System):
    name = "hallucination-threshold"
    stage = "stock"
    about = "hallucination_silence_threshold=2 with word timestamps"
    options = {"word_timestamps": True, "hallucination_silence_threshold": 2.0}  # noqa: RUF012


@register
class NoCondition(System):
    name = "no-condition"
    stage = "stock"
    about = "condition_on_previous_text=False; differs from stock on recordings over 30 s only"
    options = {"condition_on_previous_text": False}  # noqa: RUF012


@register
class RepetitionGuard(System):
    name = "repetition-guard"
    stage = "decoder"
    about = "stock with whisper-steer's repetition guard, and no gate"

    def transcribe(self, session: Session, audio: Audio) -> Output:
        session.start()
        options = session.options
        result = whisper_steer.transcribe(
            session.model, audio, steering=None, repetition_guard=True, **options
        )
        return session.output(result)
