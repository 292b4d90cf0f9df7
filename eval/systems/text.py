"""A filter on the text: delooping and a bag of hallucinations (arXiv 2501.11378)."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from whisper_steer.data.clips import Audio

from ..fits import Bank
from ..metrics import Output
from ..session import Session
from .base import System, register

MIN_COUNT = 2
MIN_REPEATS = 3
BAG_CLIPS = 40


@register
class BagOfHallucinations(System):
    name = "bag-of-hallucinations"
    stage = "text"
    about = "delooping, then phrases that stock wrote on 2 or more fit non-speech clips deleted (arXiv 2501.11378)"
    phrases: frozenset[tuple[str, ...]] = frozenset()

    def fit(self, bank: Bank) -> dict[str, Any]:
        """Phrases are whole texts, delooped. Texts also found in the transcripts of fit speech stay out."""
        written: Counter[str] = Counter()
        for clip in bank.clips["fit", "nonspeech"][:BAG_CLIPS]:
            text = bank.session.transcribe(self, clip.samples()).text
            written[" ".join(_keys(deloop(text.split())))] += 1
        spoken = " | ".join(
            " ".join(_keys((clip.text or "").split())) for clip in bank.clips["fit", "speech"]
        )
        return {"phrases": [p for p, n in written.items() if p and n >= MIN_COUNT and p not in spoken]}

    def load(self, session: Session, state: dict[str, Any]) -> None:
        self.phrases = frozenset(tuple(phrase.split()) for phrase in state["phrases"])

    def transcribe(self, session: Session, audio: Audio) -> Output:
        output = session.transcribe(self, audio)
        text = " ".join(remove_phrases(deloop(output.text.split()), self.phrases))
        if text != " ".join(output.text.split()):
            output.text = text
            span = {"start": 0.0, "end": len(audio) / 16000, "text": text, "tokens": []}
            output.segments = [span] if text else []
        return output


def deloop(words: list[str]) -> list[str]:
    """Phrases of up to 8 words that follow themselves MIN_REPEATS times or more are written once."""
    keys, i, kept = _keys(words), 0, []
    while i < len(words):
        for size in range(1, 9):
            repeats = 1
            while keys[i : i + size] == keys[i + repeats * size : i + (repeats + 1) * size]:
                repeats += 1
            if repeats >= MIN_REPEATS:
                kept += words[i : i + size]
                i += repeats * size
                break
        else:
            kept.append(words[i])
            i += 1
    return kept


def remove_phrases(words: list[str], phrases: frozenset[tuple[str, ...]]) -> list[str]:
    """Delete every occurrence of a phrase, longest first."""
    lengths = sorted({len(phrase) for phrase in phrases}, reverse=True)
    keys, i, kept = _keys(words), 0, []
    while i < len(words):
        size = next((n for n in lengths if tuple(keys[i : i + n]) in phrases), 0)
        if not size:
            kept.append(words[i])
        i += size or 1
    return kept


def _keys(words: list[str]) -> list[str]:
    return [re.sub(r"[^\w']", "", word.lower()) for word in words]
