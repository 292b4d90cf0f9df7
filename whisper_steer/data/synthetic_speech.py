"""Speech of many synthesised voices, by the programs espeak-ng, flite and festival (where installed).

`plan_speech` draws who says what, without end; `say` makes it sound. A speaker is an espeak-ng variant (it sets
formants, pitch and timbre; every accent and language can be spoken with it) or the person whom a flite or
festival voice was recorded from. Speakers are divided between the splits fit and choose.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

Audio = npt.NDArray[np.float32]
T = TypeVar("T")
SR = 16000

ACCENTS = (
    "en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc", "en-029",
)  # fmt: skip
VARIANTS = {
    "fit": (
        "adam", "Alex", "Andrea", "Andy", "antonio", "aunty", "belinda", "benjamin", "boris", "croak", "david",
        "Denis", "Diogo", "ed", "edward", "f1", "f2", "f3", "grandma", "Henrique", "Hugo", "iven", "john", "klatt",
        "klatt2", "klatt3", "Lee", "linda", "m1", "m2", "m3", "m4", "m5", "m8", "marcelo", "Marco", "mario", "max",
        "michel", "miguel", "norbert", "paul", "pedro", "quincy", "robert", "sandro", "steph", "Storm", "whisper",
    ),
    "choose": (
        "Alicia", "Annie", "f4", "f5", "Gene", "grandpa", "gustave", "Jacky", "kaukovalta", "klatt4", "m6", "m7",
        "Mike", "Nguyen", "pablo", "rob", "shelby", "travis", "Tweaky", "victor", "whisperf",
    ),
}  # fmt: skip
"""espeak-ng variants by split; those that sound the same to the sample under other names are left out."""
RECORDED = {
    "fit": (
        ("flite", "kal", "kal"), ("flite", "kal16", "kal"), ("flite", "awb", "awb"), ("flite", "rms", "rms"),
        ("festival", "kal_diphone", "kal"),
    ),
    "choose": (("flite", "slt", "slt"),),
}  # fmt: skip
"""(engine, voice, speaker) of the voices built from recordings of real speakers, by split."""


@dataclass(frozen=True)
class Voice:
    engine: str
    name: str
    language: str
    group: str


def _deal(rng: np.random.Generator, items: Sequence[T]) -> Iterator[T]:
    """All items in random order, then all again in another, without end."""
    while True:
        for i in rng.permutation(len(items)):
            yield items[i]


def plan_speech(rng: np.random.Generator, split: str, texts: dict[str, Any]) -> Iterator[tuple[Voice, str]]:
    """Voices and what they say, without end: words, numbers, sentences and long sentences in many languages."""
    variants = VARIANTS[split]
    english = [Voice("espeak-ng", f"{a}+{v}", "en", f"espeak-ng {v}") for a in ACCENTS for v in variants]
    engines = {"flite"} | ({"festival"} if shutil.which("text2wave") else set())
    recorded = [Voice(e, v, "en", f"recorded {s}") for e, v, s in RECORDED[split] if e in engines]
    tongues = {k: v for k, v in texts["languages"].items() if v["split"] == split}
    foreign = [
        Voice("espeak-ng", f"{t.get('espeak', k)}+{v}", k, f"espeak-ng {v}")
        for v in variants
        for k, t in tongues.items()
    ]
    voices = [_deal(rng, english), _deal(rng, recorded), _deal(rng, foreign)]
    decks = {(k, kind): _deal(rng, t[kind]) for k, t in tongues.items() for kind in ("words", "sentences")}
    for kind in ("words", "sentences", "long"):
        decks["en", kind] = _deal(rng, texts[f"english_{kind}"])
    while True:
        voice = next(voices[rng.choice(3, p=[0.42, 0.23, 0.35])])
        kind = str(rng.choice(["words", "numbers", "sentences", "long"], p=[0.55, 0.12, 0.27, 0.06]))
        if kind == "numbers":
            digits = [str(d) for d in rng.integers(0, 10, rng.integers(1, 9))]
            text = ", ".join(digits) if rng.random() < 0.8 else str(rng.integers(10, 3000))
        elif (voice.language, kind) in decks:
            text = next(decks[voice.language, kind])
        else:
            text = " ".join(next(decks[voice.language, "sentences"]) for _ in range(2))
        yield voice, text


def say(voice: Voice, text: str, rng: np.random.Generator, wav: Path) -> Audio:
    """`text` in `voice` with random pitch and rate; float32 (n,) at 16 kHz, silent ends trimmed, peak 0.5."""
    pitch, rate = float(np.clip(rng.normal(0, 1), -2, 2)), rng.uniform(0.75, 1.35)
    size = 1.0
    if voice.engine == "espeak-ng":
        tone = [
            "-p",
            str(round(50 + 20 * pitch)),
            "-s",
            str(round(165 * rate)),
            "-g",
            str(rng.integers(0, 8)),
        ]
        command = ["espeak-ng", "-v", voice.name, *tone, "-w", str(wav), text]
    elif voice.engine == "flite":
        hz = (170 if voice.name == "slt" else 105) * 1.15**pitch
        settings = ["--setf", f"duration_stretch={1 / rate:.3f}", "--setf", f"int_f0_target_mean={hz:.0f}"]
        command = ["flite", "-voice", voice.name, *settings, "-t", text, "-o", str(wav)]
        size = float(np.exp(rng.uniform(-0.1, 0.1)))
    else:
        command = ["text2wave", "-eval", f"(Parameter.set 'Duration_Stretch {1 / rate:.3f})", "-o", str(wav)]
        size = float(np.exp(rng.uniform(-0.1, 0.1)))
    subprocess.run(
        command, input=text if voice.engine == "festival" else "", text=True, check=True, capture_output=True
    )
    samples, sr = soundfile.read(wav, dtype="float32")
    x = np.asarray(soxr.resample(samples, sr * size, SR), dtype=np.float32)
    return _trim(x * np.float32(0.5 / max(float(np.abs(x).max(initial=0)), 1e-6)))


def _trim(x: Audio, floor: float = 0.005, margin: int = SR // 25) -> Audio:
    loud = np.flatnonzero(np.abs(x) > floor)
    return x[max(0, loud[0] - margin) : loud[-1] + margin] if len(loud) else x[:0]
