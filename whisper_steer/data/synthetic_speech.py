"""Who says what in the calibration pack, and how near: the plan of its speech, and its sound.

`plan_speech` draws lines without end; `say` makes one sound. Speakers are divided between the splits fit and choose by
the voice they are made from, so that nothing is calibrated on a voice that the gate was fitted on: hibari and two of
Kokoro's styles are fitted on, Piper's "joe" and the three others are held out, and so are espeak-ng's variants, which
speak the languages that no natural voice does.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import soxr

from whisper_steer.data import voices
from whisper_steer.sounds.blocks import coloured, reverberate

Audio = npt.NDArray[np.float32]
T = TypeVar("T")
SR = 16000

VARIANTS = {
    "fit": (
        "adam", "Andrea", "Andy", "antonio", "belinda", "boris", "Denis", "edward", "f1", "f2", "f3", "grandma", "Hugo",
        "iven", "john", "linda", "m1", "m2", "m3", "m4", "m5", "Marco", "max", "michel", "pedro", "quincy", "steph",
        "Storm", "whisper",
    ),
    "choose": ("Alicia", "Annie", "f4", "f5", "Gene", "grandpa", "m6", "m7", "Mike", "pablo", "rob", "victor"),
}  # fmt: skip
"""espeak-ng's variants by split"""
KOKORO = {"fit": ("jf_alpha", "jf_gongitsune"), "choose": ("jf_nezumi", "jf_tebukuro", "jm_kumo")}
"""Kokoro's styles by split; its speakers are means of them"""
NATURAL = {"fit": ("hibari", 28), "choose": ("joe", 12)}
"""the voice that says most, and how many speakers are made of it"""
ENGLISH_ONLY = ("cmn", "ja", "vi", "hi", "el", "ru", "uk", "ta", "ar", "fa", "ko")
"""languages that voices of English are not asked to say: espeak-ng speaks them"""
SHARES = {
    "fit": {"natural": 0.58, "kokoro": 0.05, "natural foreign": 0.14, "espeak-ng": 0.23},
    "choose": {"natural": 0.61, "kokoro": 0.12, "natural foreign": 0.14, "espeak-ng": 0.13},
}
"""of the lines"""
WHISPERED = 0.06
"""of what hibari says"""
PLACES = {"near": 0.48, "narrow": 0.24, "room": 0.14, "far": 0.07, "noisy": 0.07}
"""shares of where a line is spoken"""


@dataclass(frozen=True)
class Line:
    """What is said, by whom, where."""

    engine: str
    name: str
    language: str
    group: str
    text: str
    place: str


def _deal(rng: np.random.Generator, items: Sequence[T]) -> Iterator[T]:
    """All items in random order, then all again in another, without end."""
    while True:
        for i in rng.permutation(len(items)):
            yield items[i]


def plan_speech(rng: np.random.Generator, split: str, texts: dict[str, Any]) -> Iterator[Line]:
    """Lines without end: words, numbers, sentences and long sentences, a third of them in other languages."""
    tongues = {k: v for k, v in texts["languages"].items() if v["split"] == split}
    sayable = [k for k in tongues if k not in ENGLISH_ONLY]
    engine, speakers = NATURAL[split]
    natural = _deal(rng, [f"{engine} {i}" for i in range(speakers)])
    blends = _deal(rng, [f"kokoro {split} {i}" for i in range(2 * len(KOKORO[split]))])
    variants = _deal(rng, VARIANTS[split])
    tongue, said = _deal(rng, list(tongues)), _deal(rng, sayable)
    decks = {(k, kind): _deal(rng, t[kind]) for k, t in tongues.items() for kind in ("words", "sentences")}
    for kind in ("words", "sentences", "long"):
        decks["en", kind] = _deal(rng, texts[f"english_{kind}"])
    shares = SHARES[split]
    while True:
        who = str(rng.choice(list(shares), p=list(shares.values())))
        kind = str(rng.choice(["words", "numbers", "sentences", "long"], p=[0.52, 0.14, 0.29, 0.05]))
        place = str(rng.choice(list(PLACES), p=list(PLACES.values())))
        if who == "espeak-ng":
            language, variant = next(tongue), next(variants)
            name = f"{tongues[language].get('espeak', language)}+{variant}"
            speaker, line_engine = f"espeak-ng {variant}", "espeak-ng"
        else:
            speaker = next(blends if who == "kokoro" else natural)
            language = next(said) if who == "natural foreign" else "en"
            line_engine = name = speaker.split()[0]
            if language != "en":
                name = str(tongues[language].get("espeak", language))
        if kind == "numbers" and language == "en":
            digits = [str(d) for d in rng.integers(0, 10, rng.integers(1, 7))]
            text = ", ".join(digits) if rng.random() < 0.8 else str(rng.integers(10, 3000))
        elif (language, kind) in decks and not (kind == "long" and who == "kokoro"):
            text = next(decks[language, kind])
        else:
            text = next(decks[language, "words" if kind == "numbers" else "sentences"])
        yield Line(line_engine, name, language, speaker, text, place)


def say(line: Line, rng: np.random.Generator) -> Audio:
    """A line at a random rate; float32 (n,) at 16 kHz, silent ends trimmed, peak 0.5."""
    person = np.random.default_rng(zlib.crc32(line.group.encode()))
    rate, pitch = float(rng.uniform(0.8, 1.3)), float(np.exp(rng.normal(0, 0.06)))
    spoken, hz = _spoken(line, rng, person, rate, pitch)
    x = np.asarray(soxr.resample(spoken, hz, SR), np.float32)
    x = _trim(x * np.float32(0.5 / max(float(np.abs(x).max(initial=0)), 1e-6)))
    if len(x) and line.place != "near":
        x = _placed(x, line.place, rng)
    return x


def _spoken(
    line: Line, rng: np.random.Generator, person: np.random.Generator, rate: float, pitch: float
) -> tuple[Audio, float]:
    english = line.language == "en"
    if line.engine == "espeak-ng":
        tone, words = round(float(np.clip(50 + rng.normal(0, 20), 10, 90))), round(165 * rate)
        return voices.espeak(line.text, line.name, tone, words, int(rng.integers(0, 8)))
    if line.engine == "hibari":
        phonemes = voices.english(line.text) if english else voices.foreign(line.text, line.name)
        height = float(np.exp(person.uniform(np.log(0.5), np.log(1.45))))
        size = float(np.clip(height**-0.28 * np.exp(person.normal(0, 0.05)), 0.8, 1.25))
        lively = float(person.uniform(0.5, 1.7))
        whisper = bool(rng.random() < WHISPERED)
        spoken = voices.hibari(
            phonemes, rng, speed=rate, pitch=height * pitch, size=size, lively=lively, whisper=whisper
        )
        return spoken, voices.HIBARI_RATE
    size = float(np.exp(person.uniform(-0.16, 0.16)))
    if line.engine == "joe":
        phonemes = voices.espeak_phonemes(line.text, "en-us" if english else line.name)
        return voices.joe(phonemes, rate * size), voices.JOE_RATE / size
    styles = KOKORO[line.group.split()[1]]
    style, melody = (
        dict(zip(styles, map(float, person.dirichlet(np.full(len(styles), 0.5))), strict=True))
        for _ in range(2)
    )
    return voices.kokoro(voices.english(line.text), style, melody, rate * size), voices.KOKORO_RATE / size


def _placed(x: Audio, place: str, rng: np.random.Generator) -> Audio:
    """Samples as a microphone across a room takes them, in the noise of one, or cut tight at 8 kHz; peak 0.5."""
    if place == "narrow":
        tight = _trim(x, 0.03, SR // 200)
        heard = soxr.resample(soxr.resample(tight, SR, SR / 2), SR / 2, SR).astype(float)
        hiss = soxr.resample(rng.standard_normal(len(heard) // 2 + 1), SR / 2, SR)[: len(heard)]
        heard = heard + hiss * heard.std() * 10 ** (-rng.uniform(12, 60) / 20)
        return np.asarray(heard * (0.5 / np.abs(heard).max()), np.float32)
    heard = np.pad(x, (0, SR // 4)).astype(float)
    if place in ("room", "far"):
        for _ in range(2 if place == "far" else 1):
            heard = reverberate(rng, heard, SR)
    if place in ("far", "noisy"):
        noise = coloured(rng, len(heard), float(rng.uniform(-6, 0)))
        heard = heard + noise * heard.std() * 10 ** (-rng.uniform(8, 30) / 20)
    return np.asarray(heard * (0.5 / np.abs(heard).max()), np.float32)


def _trim(x: Audio, floor: float = 0.005, margin: int = SR // 25) -> Audio:
    loud = np.flatnonzero(np.abs(x) > floor)
    return x[max(0, loud[0] - margin) : loud[-1] + margin] if len(loud) else x[:0]
