"""Labelled stretches of sound for naming latents: clips in windows of 30 s, with silence between them.

A clip has a window to itself or shares it, as sounds do in a recording, at a level drawn from 16 dB. Speech counts
where Silero hears it; the silence before the first clip or behind the last is an example of its own.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from whisper.audio import N_SAMPLES, SAMPLE_RATE

from whisper_steer.data.clips import Audio, Clip, Split
from whisper_steer.data.labels import FRAME_SAMPLES, spoken_frames
from whisper_steer.explain.sounds import SENTENCES, SILENCE, SPEECH, names_of
from whisper_steer.sounds import generate

LONGEST = 6 * SAMPLE_RATE
"""samples of a clip that are used"""
GAP = SAMPLE_RATE
LEVELS = (-10.0, 6.0)
"""decibel against a root mean square of `LOUDNESS`"""
LOUDNESS = 0.05
FLOOR = (-5.0, -3.0)
"""powers of ten: the amplitude of a noise that half of the windows have throughout"""
QUIET = ("silence", "white_noise", "pink_noise", "brown_noise")
"""sounds that are computed, since sets of sounds have few of them"""


@dataclass(frozen=True)
class Example:
    """Where in a window something with a name is heard."""

    names: tuple[str, ...]
    """the narrowest first"""
    group: str
    """recording or speaker"""
    frames: np.ndarray
    """(n,) int64, indices of the encoder's frames"""


def class_of(clip: Clip) -> tuple[str, ...]:
    """Names for a clip, the narrowest first: its sound, or the word that its transcript is."""
    if clip.kind == "nonspeech":
        return names_of(clip.label or "unknown sound")
    words = (clip.text or "").lower().strip(" .,!?").split()
    return (f'"{words[0]}"', SPEECH) if len(words) == 1 and clip.language == "en" else (SENTENCES, SPEECH)


def quiet(split: Split, n: int) -> list[Clip]:
    """So many computed clips of each of `QUIET`, which noise alone sounds like at any level."""
    return [
        Clip(
            "nonspeech", split, f"computed/{name}/{split}/{i}",
            partial(generate, name, 2.0 + i % 4, zlib.crc32(f"{split}/{i}".encode())), "computed",
            id=f"{name}/{split}/{i}", label=name,
        )
        for name in QUIET
        for i in range(n)
    ]  # fmt: skip


def balanced(clips: Iterable[Clip], most: int, seed: int = 0) -> list[Clip]:
    """At most so many clips of each class, from as many recordings or speakers as there are, in random order."""
    rng = np.random.default_rng(seed)
    classes: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        classes[class_of(clip)[0]][clip.group].append(clip)
    chosen: list[Clip] = []
    for _, groups in sorted(classes.items()):
        ranked = [(i, float(rng.random()), clip) for group in groups.values() for i, clip in enumerate(group)]
        chosen += [clip for *_, clip in sorted(ranked, key=lambda each: each[:2])[:most]]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def windows(clips: Iterable[Clip], seed: int = 0) -> Iterator[tuple[Audio, list[Example]]]:
    """Samples (n,), at most a window, with what is heard in them: one clip, or as many as there is room for.

    How much room there is differs, so that a sound is known by itself and among others. Raises `AudioError` for a file
    that cannot be read.
    """
    rng = np.random.default_rng(seed)
    sounds: list[tuple[Clip, Audio]] = []
    room = _room(rng)
    for clip in clips:
        sound = _levelled(clip.samples()[:LONGEST], float(rng.uniform(*LEVELS)))
        if sounds and sum(len(each) + GAP for _, each in sounds) + GAP + len(sound) + GAP > room:
            yield _laid_out(sounds, rng)
            sounds, room = [], _room(rng)
        sounds.append((clip, sound))
    if sounds:
        yield _laid_out(sounds, rng)


def _room(rng: np.random.Generator) -> int:
    return int(rng.integers(LONGEST + 2 * GAP, N_SAMPLES))


def _laid_out(sounds: list[tuple[Clip, Audio]], rng: np.random.Generator) -> tuple[Audio, list[Example]]:
    """The sounds one behind the other, with silence before, between and behind them."""
    parts, examples, at = [np.zeros(GAP, np.float32)], list[Example](), GAP // FRAME_SAMPLES
    for clip, sound in sounds:
        whole = len(sound) // FRAME_SAMPLES
        frames = np.arange(at, at + whole)
        if clip.kind == "speech":
            frames = frames[spoken_frames(sound)[:whole]]
        if len(frames):
            examples.append(Example(class_of(clip), clip.group, frames))
        rest = -len(sound) % FRAME_SAMPLES
        parts += [sound, np.zeros(rest + GAP, np.float32)]
        at += (len(sound) + rest + GAP) // FRAME_SAMPLES
    samples = np.concatenate(parts)
    if rng.integers(2):
        samples += rng.standard_normal(len(samples)).astype(np.float32) * 10 ** rng.uniform(*FLOOR)
    gap = GAP // FRAME_SAMPLES
    silent = np.arange(5, gap - 5) + int(rng.integers(2)) * (at - gap)
    examples.append(Example((SILENCE,), f"{SILENCE}/{rng.integers(2**31)}", silent))
    return samples.astype(np.float32), examples


def _levelled(samples: Audio, decibel: float) -> Audio:
    size = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
    peak = float(np.abs(samples).max()) if len(samples) else 0.0
    gain = min(LOUDNESS * 10 ** (decibel / 20) / size, 1 / peak) if size else 0.0
    return (samples * gain).astype(np.float32)
