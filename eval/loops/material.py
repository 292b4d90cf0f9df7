"""Windows on which a Whisper may loop, and windows on which it should not: 30 s each, from the clips of a split.

Non-speech as it is, and repeated until it fills the window; speech in noise and music as loud or louder, very quiet,
joined until the window is full; clean speech. And speech that is really said again and again: a short clip repeated
with short pauses, of which nothing may be taken for a loop that is no longer than what was said.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from whisper.audio import N_SAMPLES, SAMPLE_RATE

from whisper_steer.data.clips import Audio, Clip, Split
from whisper_steer.data.recordings import is_music
from whisper_steer.data.splits import order_key, stratified
from whisper_steer.eval.conditions import apply, fit_length, mix

HARD = ("snr:0", "snr:-5", "music:0", "music:-10", "quiet:-50")
"""conditions of single utterances"""
SAID_AGAIN = (3, 5, 8, 12)
"""how often a short clip is said"""
MOST = 15
"""windows of each of these and each data set"""
PAUSE = 0.3
"""seconds between"""


def windows(clips: Sequence[Clip], split: Split, limit: int | None = None, seed: int = 0) -> list[Clip]:
    """Candidates of a split, in an order that mixes them.

    ``limit``: of each data set that is not speech; of speech a third of it, for each data set and condition. Of sounds
    as they are, which loop less often than those that fill a window, a quarter.
    """
    here = [c for c in clips if c.split == split and c.condition == "clean"]
    sounds = [c for c in here if c.kind == "nonspeech" and not c.voice and c.seconds > 0.5]
    english = [c for c in here if c.kind == "speech" and c.text and c.language in (None, "en")]
    sentences = [c for c in english if 2 <= c.seconds <= 28]
    some = stratified(sounds, limit, seed)
    found = [*some[::4], *(c.derived("full", partial(_full, c)) for c in some)]
    few = None if limit is None else max(1, limit // 3)
    found += apply(list(HARD), [*sentences, *sounds], few, seed)
    found += stratified(sentences, few, seed)
    found += _joined(sentences, sounds, seed)[:few]
    short = [c for c in english if c.seconds <= 4]
    for times in SAID_AGAIN:
        fitting = [c for c in short if times * (c.seconds + PAUSE) <= 29]
        chosen = stratified(fitting, min(MOST, few or MOST), seed + times)
        found += [_again(c, times) for c in chosen]
    return sorted(found, key=lambda clip: order_key(clip, seed))


def _full(clip: Clip) -> Audio:
    return fit_length(clip.samples(), N_SAMPLES)


def _again(clip: Clip, times: int) -> Clip:
    def make() -> Audio:
        return np.tile(np.pad(clip.samples(), (0, round(PAUSE * SAMPLE_RATE))), times)

    return clip.derived(
        f"again:{times}",
        make,
        text=" ".join([clip.text or ""] * times),
        seconds=times * (clip.seconds + PAUSE),
        extra={"times": times},
    )


def _joined(sentences: Sequence[Clip], sounds: Sequence[Clip], seed: int) -> list[Clip]:
    """Utterances of one speaker after another until a window is full, under noise or music at 0 dB."""
    queue = sorted(sentences, key=lambda clip: order_key(clip, seed + 1))
    noises = sorted(sounds, key=lambda clip: (not is_music(clip), order_key(clip, seed + 1)))
    found: list[Clip] = []
    parts: list[Clip] = []
    for clip in queue:
        if sum(p.seconds for p in parts) + clip.seconds > 29 and parts:
            noise = noises[len(found) % len(noises)]
            found.append(_one(parts, noise))
            parts = []
        parts.append(clip)
    return found


def _one(parts: list[Clip], noise: Clip) -> Clip:
    def make() -> Audio:
        return mix(np.concatenate([p.samples() for p in parts]), noise.samples(), 0.0)

    return parts[0].derived(
        "joined",
        make,
        text=" ".join(p.text or "" for p in parts),
        seconds=sum(p.seconds for p in parts),
        extra={"noise": noise.id, "parts": [p.id for p in parts]},
    )
