"""30 s windows made from clips, with a label for every encoder frame: what the gate and the SAE learn from.

Speech windows hold one clip or several, as recorded, in noise, far away, or through a narrow band; their frame
labels come from Silero VAD on the clean clip, so that they stay right at -5 dB. Non-speech windows hold one clip, or
several that fill the window.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from whisper.audio import N_SAMPLES, SAMPLE_RATE

from whisper_steer.data.clips import Clip, Kind
from whisper_steer.data.labels import (
    FRAME_SAMPLES,
    FRAMES,
    NONSPEECH,
    SPEECH,
    Window,
    frame_count,
    mark,
    spoken_frames,
)
from whisper_steer.fit.degrade import degraded, draw_condition, looped, mix, peak_safe

CROWDED, ALONE = 0.4, 0.35
"""shares of the windows for fitting: filled with pieces of many clips, each degraded in its own way; and with one clip
at the start, as a short recording is. The rest hold one clip or several at any place"""
PIECE = 6.0
"""longest piece of a clip in such a window, seconds"""
GOES_ON = 0.3
"""share of the windows behind whose audio the recording goes on in silence; behind the others it ends"""


def plan(
    speech: list[Clip], nonspeech: list[Clip], n_speech: int, n_nonspeech: int, seed: int
) -> Iterator[Window]:
    """Windows for fitting, speech and non-speech in turn, the same for the same seed."""
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.array(["speech"] * n_speech + ["nonspeech"] * n_nonspeech))
    speech_queue, noise_queue = cycled(speech, rng), cycled(nonspeech, rng)
    for kind in kinds:
        draw = rng.random()
        if draw < CROWDED:
            yield crowded_window(speech_queue if kind == "speech" else None, noise_queue, rng)
        elif draw < CROWDED + ALONE:
            yield alone_window(next(speech_queue if kind == "speech" else noise_queue), noise_queue, rng)
        elif kind == "speech":
            yield speech_window(speech_queue, noise_queue, rng)
        else:
            yield nonspeech_window(noise_queue, rng)


def single(clip: Clip) -> Window:
    """One clip at the start of its window, padded as Whisper pads: what a short recording looks like."""
    samples = clip.samples()[:N_SAMPLES]
    labels = np.full(FRAMES, NONSPEECH, np.int8)
    if clip.kind == "speech":
        mark(labels, spoken_frames(samples), 0)
    return Window(_padded(samples), labels, clip.kind, "as recorded", frame_count(len(samples)))


def singles(clips: list[Clip]) -> Iterator[Window]:
    """`single` of each."""
    return map(single, clips)


def hard(speech: list[Clip], nonspeech: list[Clip], n: int, seed: int) -> Iterator[Window]:
    """Held-out speech, one clip a window: in noise at 0 and at -5 dB, and 30 dB quieter, in turn."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        clip, noise = speech[int(rng.integers(len(speech)))], nonspeech[int(rng.integers(len(nonspeech)))]
        window = single(clip)
        length = window.content * FRAME_SAMPLES
        if i % 3 == 2:
            window.samples, window.condition = window.samples * 10 ** (-30 / 20), "quiet"
        else:
            snr = (0.0, -5.0)[i % 3]
            background = looped(noise.samples(), length, rng)
            window.samples[:length] = mix(
                window.samples[:length], background, snr, window.labels[: window.content]
            )
            window.samples, window.condition = peak_safe(window.samples), f"{snr:g} dB"
        yield window


def filled(nonspeech: list[Clip], n: int, seed: int) -> Iterator[Window]:
    """Full windows of one clip each, over and over."""
    rng = np.random.default_rng(seed)
    for i in rng.permutation(len(nonspeech))[:n]:
        samples = looped(nonspeech[i].samples(), N_SAMPLES, rng)
        yield Window(samples, np.full(FRAMES, NONSPEECH, np.int8), "nonspeech", "looped", FRAMES)


def speech_window(speech: Iterator[Clip], noise: Iterator[Clip], rng: np.random.Generator) -> Window:
    """One to six clips with pauses, degraded in one of the ways of `CONDITIONS`."""
    audio = np.zeros(N_SAMPLES, np.float32)
    labels = np.full(FRAMES, NONSPEECH, np.int8)
    position = int(min(rng.exponential(0.7), 10.0) * SAMPLE_RATE)
    end = 0
    for _ in range(int(rng.choice([1, 1, 1, 2, 3, 6]))):
        if position > N_SAMPLES - SAMPLE_RATE // 2:
            break
        clip = next(speech).samples()[: N_SAMPLES - position]
        audio[position : position + len(clip)] += clip * 10 ** (rng.uniform(-6, 3) / 20)
        mark(labels, spoken_frames(clip), position // FRAME_SAMPLES)
        end = position + len(clip)
        position = end + int(rng.exponential(1.0) * SAMPLE_RATE)
    condition = draw_condition(rng)
    if condition == "noise":
        end = min(N_SAMPLES, end + int(rng.exponential(3.0) * SAMPLE_RATE))
        audio[:end] = degraded(audio[:end], labels, condition, next(noise), rng)
    else:
        audio = degraded(audio, labels, condition, None, rng)
    if rng.random() < GOES_ON:
        end = N_SAMPLES
    return Window(peak_safe(audio), labels, "speech", condition, frame_count(end))


def alone_window(clip: Clip, noise: Iterator[Clip], rng: np.random.Generator) -> Window:
    """One clip as by `single`; speech degraded in one of the ways of `CONDITIONS`, every other non-speech quieter."""
    window = single(clip)
    n = window.content * FRAME_SAMPLES
    if clip.kind == "speech":
        window.condition = draw_condition(rng)
        background = next(noise) if window.condition == "noise" else None
        part = degraded(
            window.samples[:n], window.labels[: window.content], window.condition, background, rng
        )
        window.samples[:n] = part
    elif rng.random() < 0.5:
        window.samples *= np.float32(10 ** (rng.uniform(-40, 0) / 20))
    window.samples = peak_safe(window.samples)
    return window


def crowded_window(speech: Iterator[Clip] | None, noise: Iterator[Clip], rng: np.random.Generator) -> Window:
    """30 s of pieces of many clips, one after another, three in five of them speech (none where that is None).

    Each speech piece has a condition and a noise of its own: one pass of the encoder shows ten times as many.
    """
    audio = np.zeros(N_SAMPLES, np.float32)
    labels = np.full(FRAMES, NONSPEECH, np.int8)
    position, pieces = 0, 0
    while position < N_SAMPLES - SAMPLE_RATE:
        start = position // FRAME_SAMPLES
        if speech is not None and (pieces == 0 or rng.random() < 0.6):
            piece, spoken = _speech_piece(next(speech), next(noise), rng)
            mark(labels, spoken, start)
        else:
            samples = next(noise).samples()
            first = int(rng.integers(max(1, len(samples) - SAMPLE_RATE)))
            piece = samples[first : first + int(rng.uniform(1, PIECE) * SAMPLE_RATE)]
            piece = piece * 10 ** (rng.uniform(-30, 0) / 20)
        piece = piece[: N_SAMPLES - start * FRAME_SAMPLES]
        audio[start * FRAME_SAMPLES : start * FRAME_SAMPLES + len(piece)] = piece
        position = start * FRAME_SAMPLES + len(piece) + int(rng.exponential(0.2) * SAMPLE_RATE)
        pieces += 1
    kind: Kind = "nonspeech" if speech is None else "speech"
    return Window(peak_safe(audio), labels, kind, "crowded", FRAMES)


def _speech_piece(clip: Clip, noise: Clip, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One clip, degraded in one of the ways of `CONDITIONS`, with its spoken frames."""
    samples = clip.samples()[: int(PIECE * SAMPLE_RATE)]
    lead = int(rng.integers(0, 25)) * FRAME_SAMPLES
    samples = np.pad(samples, (lead, int(rng.uniform(0, 0.5) * SAMPLE_RATE)))
    spoken = np.concatenate([np.zeros(lead // FRAME_SAMPLES, bool), spoken_frames(samples[lead:])])
    condition = draw_condition(rng)
    labels = np.where(spoken, SPEECH, NONSPEECH).astype(np.int8)
    return degraded(samples, labels, condition, noise, rng, faintest=-45), spoken


def nonspeech_window(noise: Iterator[Clip], rng: np.random.Generator) -> Window:
    """One clip and padding, or clips end to end; as loud as recorded or down to 40 dB quieter."""
    audio = np.zeros(N_SAMPLES, np.float32)
    position = 0
    fill = rng.random() < 0.35
    while position < N_SAMPLES:
        clip = next(noise).samples()[: N_SAMPLES - position]
        audio[position : position + len(clip)] += clip
        position += len(clip)
        if not fill:
            break
    if rng.random() < 0.4:
        audio *= 10 ** (rng.uniform(-40, 0) / 20)
    if rng.random() < GOES_ON:
        position = N_SAMPLES
    return Window(
        peak_safe(audio),
        np.full(FRAMES, NONSPEECH, np.int8),
        "nonspeech",
        "as recorded",
        frame_count(position),
    )


def cycled(clips: list[Clip], rng: np.random.Generator) -> Iterator[Clip]:
    """Clips without end, data sets in equal shares, each shuffled and run through before it repeats."""
    queues: dict[str, list[Clip]] = {}
    names = sorted({c.dataset for c in clips})
    weight = np.array([np.sqrt(sum(c.dataset == name for c in clips)) for name in names])
    while True:
        name = str(rng.choice(names, p=weight / weight.sum()))
        if not queues.get(name):
            members = [c for c in clips if c.dataset == name]
            queues[name] = [members[i] for i in rng.permutation(len(members))]
        yield queues[name].pop()


def _padded(samples: np.ndarray) -> np.ndarray:
    return np.pad(samples, (0, N_SAMPLES - len(samples))).astype(np.float32)
