"""Make the demonstration recording: python -m whisper_steer.nano.demo --out demo.flac

Synthesised voices say strings of digits between long stretches in which nobody speaks. All sounds are made here:
voices by espeak-ng and flite, the rest by `whisper_steer.synthetic`. Beside the FLAC goes a JSON file with the words
and their places.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from whisper_steer import synthetic
from whisper_steer.nano.speech import RATE, WORDS, Audio, Unit, speak, trim
from whisper_steer.nano.strings import String, string_units

SCENES: tuple[tuple[str, float, str, str], ...] = (
    ("rain", 31.0, "flite:slt", "four one seven two nine"),
    ("mains_hum", 10.0, "espeak:en-us+m3", "three three eight zero five one"),
    ("engine", 20.0, "", ""),
    ("clock", 20.0, "flite:rms", "nine zero two six"),
    ("pad", 19.0, "espeak:en-gb+f3", "seven four one one eight three"),
    ("vinyl", 1.0, "", ""),
)
"""(sound, seconds before the speech, voice, words); a sound also lies under the speech that follows it."""
ABOVE_DB = 20.0
"""Level of the speech above the sound under it."""
SPEECH_RMS = 0.06


def rms(audio: Audio) -> float:
    return float(np.sqrt((audio.astype(np.float64) ** 2).mean()))


def spoken(voice: str, text: str, rng: np.random.Generator) -> String:
    """The words one by one with short pauses, so that every boundary is known."""
    units = []
    for word in text.split():
        audio, start, end = trim(speak(voice, word))
        units.append(
            Unit(audio * np.float32(SPEECH_RMS / rms(audio)), ((WORDS.index(word), start, end),), voice)
        )
    return string_units(units, rng.uniform(0.15, 0.5, len(units)).tolist(), lead=0.4, tail=0.4)


def compose(seed: int) -> tuple[Audio, list[dict[str, Any]]]:
    """The recording (n,) at 16 kHz, and the stretches in it: seconds, and what is said or heard."""
    rng = np.random.default_rng(seed)
    parts: list[Audio] = []
    stretches: list[dict[str, Any]] = []
    at = 0.0
    for i, (sound, seconds, voice, text) in enumerate(SCENES):
        string = spoken(voice, text, rng) if text else String(np.zeros(0, np.float32), [])
        length = seconds + len(string.audio) / RATE
        under = synthetic.generate(sound, length, seed + i)
        part = under * np.float32(SPEECH_RMS * 10 ** (-ABOVE_DB / 20) / max(rms(under), 1e-6))
        first = round(seconds * RATE)
        part[first : first + len(string.audio)] += string.audio[: len(part) - first]
        parts.append(part)
        stretches.append({"start": round(at, 2), "end": round(at + seconds, 2), "label": sound})
        if text:
            words = [
                {
                    "word": WORDS[w.digit],
                    "start": round(at + seconds + w.start, 2),
                    "end": round(at + seconds + w.end, 2),
                }
                for w in string.words
            ]
            place = {"start": round(at + seconds, 2), "end": round(at + length, 2)}
            stretches.append({**place, "text": text, "voice": voice, "under": sound, "words": words})
        at += len(part) / RATE
    return np.clip(np.concatenate(parts), -1, 1), stretches


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="FLAC to write; the words go beside it as .json"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    audio, stretches = compose(args.seed)
    said = " ".join(s["text"] for s in stretches if "text" in s)
    card = {"seconds": round(len(audio) / RATE, 2), "text": said, "stretches": stretches}
    soundfile.write(args.out.with_suffix(".tmp"), audio, RATE, format="FLAC", subtype="PCM_16")
    os.replace(args.out.with_suffix(".tmp"), args.out)
    args.out.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n")
    print(f"{args.out}: {card['seconds']} s, {args.out.stat().st_size / 1e6:.1f} MB: {said}")


if __name__ == "__main__":
    main()
