"""Makes the demonstration recording: ``pip install hibari-tts==0.2.1``, ``python -m whisper_steer.demo.record``.

A nurse who does not exist dictates notes on a home visit and lets the recorder run in between. The voice is "heart" of
hibari-tts (Apache-2.0), which ships inside that package; the sounds of the pauses come from `whisper_steer.sounds`,
chosen by trying which of them genuine tiny.en writes text on. Nothing is recorded and nothing is drawn at random: the
same versions on the same machine make the same bytes. Writes ``demo.flac`` (16 kHz, mono, 16 bit) and ``demo.json``
(every stretch with its start and end in seconds, and its ``text`` or its ``label``) into ``whisper_steer/assets``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from whisper_steer.audio.load import SAMPLE_RATE
from whisper_steer.sounds import generate

Samples = npt.NDArray[np.float32]

ASSETS = Path(__file__).parent.parent / "assets"
VOICE = "heart"
GAP = 0.5
"""seconds of room tone between speech and sound"""
FADE = 0.4
"""seconds in which a sound rises and falls"""
ROOM_DB = -62.0
"""peak of the room tone that lies under everything"""


@dataclass(frozen=True)
class Said:
    """Speech."""

    text: str


@dataclass(frozen=True)
class Heard:
    """A sound in which nobody speaks, up to ``until`` seconds of the recording."""

    label: str
    generator: str
    seed: int
    peak_db: float
    until: float


SCRIPT: tuple[Said | Heard, ...] = (
    Said("These are my notes on the first home visit of the day."),
    Heard("the car's engine", "engine", 1, -30.0, 12.0),
    Said("The patient is waiting for me in the garden. I am going to measure her blood pressure."),
    Heard("birds in the garden", "birds", 1, -36.0, 60.5),
    Said("Her blood pressure is normal, and she slept well. We are going back into the house."),
    Heard("footsteps", "footsteps", 1, -30.0, 75.0),
    Said("The wound is clean and dry. Before I change the bandage, I am going to give her one tablet."),
    Heard("the clock on the wall", "clock", 1, -36.0, 120.5),
    Said("She has taken the tablet with some water. Now I am washing my hands."),
    Heard("running water", "water", 1, -30.0, 134.0),
    Said("The new bandage is in place. That is all for today."),
    Heard("typing", "keyboard", 1, -36.0, 179.5),
)


def sound(part: Heard, seconds: float) -> Samples:
    """The sound at its level, faded in and out."""
    samples = generate(part.generator, seconds, part.seed)
    samples = samples * (10 ** (part.peak_db / 20) / max(float(np.abs(samples).max()), 1e-9))
    ramp = np.linspace(0, 1, round(FADE * SAMPLE_RATE), dtype=np.float32)
    samples[: len(ramp)] *= ramp
    samples[-len(ramp) :] *= ramp[::-1]
    return np.asarray(samples, dtype=np.float32)


def compose(script: tuple[Said | Heard, ...], voice: Any) -> tuple[Samples, list[dict[str, Any]]]:
    """A script -> the recording (n,) and its stretches."""
    gap = np.zeros(round(GAP * SAMPLE_RATE), dtype=np.float32)
    pieces, stretches, at = [gap], [], len(gap)
    for part in script:
        if isinstance(part, Said):
            samples = soxr.resample(voice(part.text, seed=0), voice.sample_rate, SAMPLE_RATE, quality="VHQ")
            about: dict[str, Any] = {"text": part.text}
        else:
            samples = sound(part, part.until - at / SAMPLE_RATE)
            about = {"label": part.label, "generator": part.generator, "seed": part.seed}
        seconds = {"start": round(at / SAMPLE_RATE, 2), "end": round((at + len(samples)) / SAMPLE_RATE, 2)}
        stretches.append({**seconds, **about})
        pieces += [samples, gap]
        at += len(samples) + len(gap)
    recording = np.concatenate(pieces)
    room = generate("room_tone", len(recording) / SAMPLE_RATE, 0)[: len(recording)]
    return recording + room * np.float32(10 ** (ROOM_DB / 20) / np.abs(room).max()), stretches


def main() -> None:
    """Write both files."""
    from hibari import Hibari, __version__

    recording, stretches = compose(SCRIPT, Hibari(VOICE))
    soundfile.write(ASSETS / "demo.flac", recording, SAMPLE_RATE, subtype="PCM_16")
    card = {
        "command": "python -m whisper_steer.demo.record",
        "voice": f'"{VOICE}" of hibari-tts {__version__} (Apache-2.0)',
        "sounds": "whisper_steer.sounds",
        "licence": "MIT, as this package",
        "seconds": round(len(recording) / SAMPLE_RATE, 2),
        "stretches": stretches,
    }
    (ASSETS / "demo.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
