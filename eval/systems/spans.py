"""Systems that say where somebody speaks: stock decodes those places alone, through its own ``clip_timestamps``."""

from __future__ import annotations

from typing import Any

from whisper_steer.data.clips import Audio
from whisper_steer.runtimes.results import first_speech, flat, in_whole_frames

from ..metrics import Output
from ..session import Session
from .base import System

SAMPLE_RATE = 16000

Places = list[tuple[float, float]]
"""(start, end) in seconds, in order"""


class Spans(System):
    """Stock on the places of `spans`; as whisper-steer, with the language detected there, and stock itself where they
    are all of the recording."""

    stage = "gate"

    def spans(self, session: Session, audio: Audio) -> Places:
        """Where somebody speaks in samples (n,) at 16 kHz; may `note` the evidence."""
        raise NotImplementedError

    def transcribe(self, session: Session, audio: Audio) -> Output:
        session.start()
        places = self.spans(session, audio)
        noted = session.evidence
        if not places:
            return Output("", score=noted)
        options: dict[str, Any] = {}
        if places != [(0.0, len(audio) / SAMPLE_RATE)]:
            options["clip_timestamps"] = flat(in_whole_frames(places, len(audio) / SAMPLE_RATE))
            if session.options.get("language") is None and session.model.is_multilingual:
                options["language"] = session.language(first_speech(audio, places))
        output = session.transcribe(self, audio, **options)
        output.score = noted
        return output
