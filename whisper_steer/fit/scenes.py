"""Half minutes of recordings, labelled frame by frame: what the gate learns to listen by.

A scene is what a window of a meeting, a call or a film holds: utterances, each degraded in its own way, with something
to hear in the pauses between, and often a sound below all of it; or nobody speaks at all. Loud and quiet lie side by
side, as the floor of a window's spectrogram depends on its loudest part.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from whisper.audio import N_SAMPLES, SAMPLE_RATE

from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import FRAME_SAMPLES, FRAMES, NONSPEECH, SPEECH, Window, mark, spoken_frames
from whisper_steer.data.recordings import is_music, levelled
from whisper_steer.fit.degrade import at_speed, band_limit, looped, mix, peak_safe, phone_band
from whisper_steer.fit.windows import cycled

CONDITIONS = {
    "as recorded": 0.25,
    "noise": 0.40,
    "quiet": 0.12,
    "phone": 0.07,
    "quiet in noise": 0.07,
    "band": 0.06,
    "offset": 0.03,
}
"""shares of the utterances"""
LEVELLED = ("as recorded", "noise", "band", "phone")
"""conditions in which an utterance is brought to a level"""
FASTER_OR_SLOWER, SPEEDS = 0.35, (0.48, 2.1)
SPOKEN = 0.8
"""share of the scenes in which somebody speaks"""
LONGEST = 12 * SAMPLE_RATE
"""samples of an utterance"""
PAUSES = (0.4, 12.0)
"""seconds, drawn evenly on a logarithmic scale"""


def scenes(speech: list[Clip], nonspeech: list[Clip], n: int, seed: int) -> Iterator[Window]:
    """``n`` scenes, the same for the same seed."""
    rng = np.random.default_rng(seed)
    music = [clip for clip in nonspeech if is_music(clip)] or nonspeech
    voices, sounds, tunes = (cycled(clips, rng) for clips in (speech, nonspeech, music))
    for _ in range(n):
        yield scene(voices, sounds, tunes, rng, spoken=rng.random() < SPOKEN)


def scene(
    speech: Iterator[Clip],
    noise: Iterator[Clip],
    music: Iterator[Clip],
    rng: np.random.Generator,
    *,
    spoken: bool,
) -> Window:
    """One scene. Every eighth ends before its half minute does."""
    audio = np.zeros(N_SAMPLES, np.float32)
    labels = np.full(FRAMES, NONSPEECH, np.int8)
    at, said, turn = 0, 0, rng.random() < 0.5
    most = 1 if rng.random() < 0.25 else FRAMES
    while at < FRAMES - 40:
        if spoken and turn and said < most:
            piece, heard = utterance(next(speech), next(noise), rng)
            mark(labels, heard, at)
            said += 1
        else:
            piece = pause(noise, music, rng)
        piece = piece[: N_SAMPLES - at * FRAME_SAMPLES]
        audio[at * FRAME_SAMPLES : at * FRAME_SAMPLES + len(piece)] += piece
        at += max(1, -(-len(piece) // FRAME_SAMPLES))
        turn = not turn
    audio += bed(noise, music, rng)
    if rng.random() < 0.3:
        audio *= np.float32(10 ** (rng.uniform(-40, 0) / 20))
    content = FRAMES if rng.random() < 7 / 8 else int(rng.integers(100, FRAMES))
    audio[content * FRAME_SAMPLES :] = 0
    labels[content:] = NONSPEECH
    return Window(peak_safe(audio), labels, "speech" if said else "nonspeech", "scene", content)


def utterance(clip: Clip, noise: Clip, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A clip of speech in one of `CONDITIONS`, some played faster or slower, and its spoken frames (bool).

    The frames are those of the clean clip, so that they stay right in noise.
    """
    samples = clip.samples()[:LONGEST]
    spoken = spoken_frames(samples)
    if rng.random() < FASTER_OR_SLOWER:
        factor = float(np.exp(rng.uniform(*np.log(SPEEDS))))
        samples = at_speed(samples, factor)
        spoken = spoken[
            np.minimum((np.arange(-(-len(samples) // FRAME_SAMPLES)) * factor).astype(int), len(spoken) - 1)
        ]
    before, behind = (int(n) for n in rng.integers(0, 25, 2))
    samples = np.pad(samples, (before * FRAME_SAMPLES, behind * FRAME_SAMPLES))
    spoken = np.pad(spoken, (before, -(-len(samples) // FRAME_SAMPLES) - before - len(spoken)))
    condition = str(rng.choice(list(CONDITIONS), p=list(CONDITIONS.values())))
    if condition in ("noise", "quiet in noise"):
        background = looped(noise.samples(), len(samples), rng)
        labels = np.where(spoken, SPEECH, NONSPEECH)
        samples = mix(samples, background, float(rng.uniform(-6, 20)), labels)
    if condition in ("quiet", "quiet in noise"):
        samples = samples * 10 ** (rng.uniform(*((-55, -15) if condition == "quiet" else (-40, -10))) / 20)
    elif condition == "band":
        samples = band_limit(samples, rng)
    elif condition == "phone":
        samples = phone_band(samples)
    elif condition == "offset":
        samples = samples + rng.uniform(-0.15, 0.15)
    if condition in LEVELLED:
        samples = levelled(samples, float(rng.uniform(-12, 6)))
    return np.asarray(samples, np.float32), spoken


def pause(noise: Iterator[Clip], music: Iterator[Clip], rng: np.random.Generator) -> np.ndarray:
    """Seconds without speech: silence, a room's hiss, or a sound at up to 10 dB over the speech."""
    n = int(np.exp(rng.uniform(*np.log(PAUSES))) * SAMPLE_RATE)
    draw = rng.random()
    if draw < 0.10:
        return np.zeros(n, np.float32)
    if draw < 0.22:
        return levelled(rng.standard_normal(n).astype(np.float32), float(rng.uniform(-60, -20)))
    sound = next(noise if draw < 0.75 else music).samples()
    if len(sound) < n or rng.random() < 0.5:
        sound = looped(sound, n, rng)
    else:
        first = int(rng.integers(len(sound) - n + 1))
        sound = sound[first : first + n]
    return levelled(sound, float(rng.uniform(-35, 10)))


def bed(noise: Iterator[Clip], music: Iterator[Clip], rng: np.random.Generator) -> np.ndarray:
    """What is heard below all of a scene, or nothing: (480000,) float32."""
    draw = rng.random()
    if draw < 0.45:
        sound = looped(next(noise if draw < 0.3 else music).samples(), N_SAMPLES, rng)
        return levelled(sound, float(rng.uniform(-60, -15)))
    if draw < 0.75:
        hiss = rng.standard_normal(N_SAMPLES).astype(np.float32)
        return levelled(hiss, float(rng.uniform(-75, -30)))
    return np.zeros(N_SAMPLES, np.float32)
