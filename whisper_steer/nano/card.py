"""nano's card: what the checkpoint is, made of what, and how well it does (figures of `evaluate`)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import whisper

from whisper_steer.nano import speech

WHAT = (
    "A small Whisper of 3.2 million weights besides its token table, trained from scratch by this project on spoken "
    "English digits. It writes lower-case digit words and nothing else, whatever it hears: like Whisper it was trained "
    "on speech alone, so it writes digits on noise. It was neither taught to be silent nor tuned to look bad, and "
    "never saw the no-speech token, whose probability says nothing. It stands in for real checkpoints where none can "
    "be downloaded, in demonstrations and tests; it is no speech recogniser for other use. With timestamps, as "
    "whisper.transcribe decodes by default, it keeps its place by the times it writes; without them it loses its place "
    "in long strings. The figures say by how much, and whether it reaches the goals it was trained for (WER 2 % on "
    "recorded strings, 5 % on unseen voices)."
)
DATA = (
    {
        "name": "Free Spoken Digit Dataset",
        "licence": "CC BY-SA 4.0",
        "use": "2400 recordings of six speakers to train; recordings 0-4 of each (300) to report; 300 others to choose",
    },
    {
        "name": "synthesised digits, words and connected phrases",
        "licence": "made by the script with espeak-ng (GPL-3.0 program) and flite (BSD-like licence)",
        "use": f"{len(set(speech.training_voices()))} voices to train; {len(speech.UNSEEN)} others to report",
    },
    {
        "name": "UrbanSound8K, ESC-50, ambient sounds, instruments, Speech Commands background noise, game sounds",
        "licence": "CC BY-NC 3.0 (UrbanSound8K, ESC-50), Pixabay, CC0, Freesound CC, CC BY 4.0, CC BY-SA",
        "use": "clips without voices, as noise under the training strings at 3-40 dB; others to report text on noise",
    },
)


def card(model: Any, checkpoint: Path, command: str, figures: dict[str, Any]) -> dict[str, Any]:
    """The card of a checkpoint as JSON-ready values."""
    return {
        "name": "nano",
        "what": WHAT,
        "vocabulary": list(speech.WORDS),
        "dims": dict(vars(model.dims)),
        "weights": sum(p.numel() for p in model.parameters()),
        "bytes": checkpoint.stat().st_size,
        "sha256": hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
        "openai_whisper": whisper.__version__,
        "data": list(DATA),
        "training": command,
        "wer": (
            "greedy whisper.decode on 30 s windows, over digit words, lower case, punctuation dropped, "
            "'1' read as 'one'; "
            "whisper's EnglishTextNormalizer would merge a whole string into one word"
        ),
        "figures": figures,
    }
