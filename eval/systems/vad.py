"""Silero VAD in front, as faster-whisper ships and uses it: cut the rest away, or mute it (whisperX, stable-ts)."""

from __future__ import annotations

import numpy as np
from faster_whisper.vad import SpeechTimestampsMap, get_speech_timestamps, get_vad_model

from ..clips import Audio
from ..metrics import Output
from ..session import Session
from .base import System, register

SAMPLE_RATE = 16000


def speech_chunks(audio: Audio) -> list[dict[str, int]]:
    """``start`` and ``end`` in samples, with faster-whisper's default options."""
    return list(get_speech_timestamps(audio))


def speech_probability(audio: Audio) -> float:
    """Largest probability that Silero gives any 32 ms: what a threshold on it would see."""
    return float(np.max(get_vad_model()(np.pad(audio, (0, 512 - len(audio) % 512)))))


@register
class VadCut(System):
    name = "vad-cut"
    stage = "audio"
    about = "Silero VAD, speech chunks concatenated (faster-whisper vad_filter, default options)"

    def transcribe(self, session: Session, audio: Audio) -> Output:
        chunks = speech_chunks(audio)
        if not chunks:
            return Output("", score=speech_probability(audio))
        joined = np.concatenate([audio[chunk["start"] : chunk["end"]] for chunk in chunks])
        output = self.decode_speech(session, joined)
        times = SpeechTimestampsMap(chunks, SAMPLE_RATE)
        for segment in output.segments:
            for edge in ("start", "end"):
                segment[edge] = times.get_original_time(segment[edge])
        output.score = speech_probability(audio)
        return output

    def decode_speech(self, session: Session, audio: Audio) -> Output:
        return session.transcribe(self, audio)


@register
class VadMute(System):
    name = "vad-mute"
    stage = "audio"
    about = "Silero VAD, everything but the speech chunks set to zero; timestamps stay"

    def transcribe(self, session: Session, audio: Audio) -> Output:
        chunks = speech_chunks(audio)
        if not chunks:
            return Output("", score=speech_probability(audio))
        muted = np.zeros_like(audio)
        for chunk in chunks:
            muted[chunk["start"] : chunk["end"]] = audio[chunk["start"] : chunk["end"]]
        output = session.transcribe(self, muted)
        output.score = speech_probability(audio)
        return output
