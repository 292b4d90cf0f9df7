"""Where nano's speech comes from: recorded digits and synthesised voices, as units with known word boundaries.

A unit is a stretch of speech that is strung together whole: one recorded or synthesised word, or a phrase that a
voice spoke connected. Recorded digits are the Free Spoken Digit Dataset of a manifest; voices are espeak-ng and flite.
The voices of `UNSEEN` are kept out of training.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from whisper_steer.errors import DataError, MissingPackageError

RATE = 16000
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ACCENTS = (
    "en-us",
    "en-gb",
    "en-gb-scotland",
    "en-gb-x-rp",
    "en-gb-x-gbclan",
    "en-gb-x-gbcwmd",
    "en-029",
    "en-us-nyc",
)
VARIANTS = (
    *(
        "m1",
        "m2",
        "m4",
        "m5",
        "m6",
        "m7",
        "m8",
        "f1",
        "f2",
        "f4",
        "f5",
        "klatt",
        "klatt2",
        "klatt4",
        "klatt6",
    ),
    *(
        "adam",
        "Alicia",
        "Andrea",
        "Andy",
        "belinda",
        "boris",
        "caleb",
        "ed",
        "grandma",
        "grandpa",
        "iven2",
        "john",
    ),
    *(
        "linda",
        "marco",
        "max",
        "paul",
        "quincy",
        "rob",
        "steph2",
        "travis",
        "victor",
        "zac",
        "croak",
        "whisper",
    ),
)
FLITE = ("kal", "kal16", "awb", "slt")
UNSEEN = (*(f"espeak:{a}+{v}" for a, v in (("en-us", "m3"), ("en-gb", "f3"), ("en-029", "klatt3"), ("en-us", "Annie"),
          ("en-gb-x-rp", "david"), ("en-gb-scotland", "michael"), ("en-us-nyc", "steph"))), "flite:rms")  # fmt: skip

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Unit:
    """Speech that is strung together whole."""

    audio: Audio
    """(n,) at 16 kHz, silence trimmed."""
    words: tuple[tuple[int, float, float], ...]
    """(digit, start, end) of each word, seconds within `audio`."""
    voice: str
    """Speaker or synthesiser voice; units of one voice are strung together."""
    exact: bool = True
    """False where boundaries inside the unit are estimated from the lengths of the words spoken alone."""


def trim(audio: Audio, margin: float = 0.02, floor_db: float = -38.0) -> tuple[Audio, float, float]:
    """Cut silence off both ends; returns the audio and where speech starts and ends in it (seconds)."""
    hop = RATE // 100
    frames = audio[: len(audio) // hop * hop].reshape(-1, hop)
    level = np.sqrt((frames**2).mean(axis=1)) if len(frames) else np.zeros(0, np.float32)
    if not level.any():
        return audio, 0.0, len(audio) / RATE
    loud = np.flatnonzero(level > level.max() * 10 ** (floor_db / 20))
    pad = round(margin * RATE)
    first, last = max(loud[0] * hop - pad, 0), min((loud[-1] + 1) * hop + pad, len(audio))
    return audio[first:last], loud[0] * hop / RATE - first / RATE, (loud[-1] + 1) * hop / RATE - first / RATE


def speak(voice: str, text: str, speed: float = 1.0, pitch: float = 1.0) -> Audio:
    """Synthesise `text` with a voice such as "espeak:en-us+f3" or "flite:slt"; (n,) float32 at 16 kHz.

    Raises MissingPackageError where the synthesiser is not installed.
    """
    engine, name = voice.split(":")
    try:
        if engine == "espeak":
            options = ["-s", str(round(165 * speed)), "-p", str(round(50 * pitch))]
            wav = subprocess.run(
                ["espeak-ng", "-v", name, *options, "--stdout", text], capture_output=True, check=True
            )
            audio, rate = np.frombuffer(wav.stdout[44:], dtype="<i2").astype(np.float32) / 32768, 22050
        else:
            stretch = [
                "--setf",
                f"duration_stretch={1 / speed:.3f}",
                "--setf",
                f"int_f0_target_mean={110 * pitch:.0f}",
            ]
            with tempfile.TemporaryDirectory() as folder:
                path = str(Path(folder) / "speech.wav")
                subprocess.run(
                    ["flite", "-voice", name, *stretch, "-t", text, "-o", path],
                    capture_output=True,
                    check=True,
                )
                audio, rate = soundfile.read(path, dtype="float32")
    except FileNotFoundError as exc:
        raise MissingPackageError(
            f"{exc.filename} is not installed; install it with the system's packages"
        ) from exc
    return np.asarray(audio if rate == RATE else soxr.resample(audio, rate, RATE), dtype=np.float32)


def voice_units(voice: str, settings: int, phrases: int, rng: np.random.Generator) -> list[Unit]:
    """Ten words in each of `settings` random speeds and pitches of a voice, and connected phrases in each."""
    units = []
    for _ in range(settings):
        speed, pitch = rng.uniform(0.75, 1.35), rng.uniform(0.6, 1.5)
        lengths = []
        for digit, word in enumerate(WORDS):
            audio, start, end = trim(speak(voice, word, speed, pitch))
            units.append(Unit(audio, ((digit, start, end),), voice))
            lengths.append(end - start)
        for _ in range(phrases):
            digits = rng.integers(0, 10, rng.integers(2, 9)).tolist()
            audio, start, end = trim(speak(voice, " ".join(WORDS[d] for d in digits), speed, pitch))
            share = np.cumsum([0.0] + [lengths[d] for d in digits])
            edges = (start + (end - start) * share / share[-1]).tolist()
            units.append(Unit(audio, tuple(zip(digits, edges, edges[1:], strict=False)), voice, exact=False))
    return units


def synthesised(voices: tuple[str, ...], settings: int, phrases: int, seed: int) -> list[Unit]:
    """Units of several voices; two synthesisers run at a time."""
    seeds = np.random.default_rng(seed).spawn(len(voices))
    with ThreadPoolExecutor(2) as pool:
        parts = pool.map(lambda v, rng: voice_units(v, settings, phrases, rng), voices, seeds)
        return [unit for part in parts for unit in part]


def training_voices() -> tuple[str, ...]:
    """All voices but those of `UNSEEN`."""
    return (
        *(f"espeak:{a}+{v}" for a in ACCENTS for v in VARIANTS),
        *(f"flite:{v}" for v in FLITE for _ in range(12)),
    )


def manifest(
    data: Path, split: str, keep: Callable[[dict[str, str]], bool]
) -> Iterator[tuple[dict[str, str], Audio]]:
    """(line, audio at 16 kHz) of the clips of `split` in DATA/manifest.jsonl that `keep` accepts."""
    try:
        lines = (data / "manifest.jsonl").read_text().splitlines()
    except OSError as exc:
        raise DataError(f"{data} has no manifest.jsonl; give the folder that holds it with --data") from exc
    for line in map(json.loads, lines):
        if line["split"] == split and keep(line):
            audio, rate = soundfile.read(data / line["path"], dtype="float32")
            yield (
                line,
                np.asarray(audio if rate == RATE else soxr.resample(audio, rate, RATE), dtype=np.float32),
            )


def recorded(data: Path, split: str) -> list[Unit]:
    """Units of the Free Spoken Digit Dataset: one recorded digit each, as cut by its authors."""
    units = []
    for line, audio in manifest(data, split, lambda x: x["dataset"] == "free-spoken-digit"):
        _, start, end = trim(audio, margin=len(audio))
        units.append(Unit(audio, ((WORDS.index(line["text"]), start, end),), line["group"]))
    return units


def noises(data: Path, split: str) -> list[Audio]:
    """Non-speech clips without human voices."""
    return [
        audio for _, audio in manifest(data, split, lambda x: x["kind"] == "nonspeech" and not x["voice"])
    ]
