"""Recordings as people have them, from clips: utterances with pauses between, and something to hear in the pauses.

A clip of speech and one of non-speech are what detectors are tested on; meetings, calls and films are both by turns.
Every draw is fixed by the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from whisper_steer.data.clips import Audio, Clip, Split
from whisper_steer.data.normalize import normalize
from whisper_steer.errors import DataError

SAMPLE_RATE = 16000
LEVEL = 0.05
"""root mean square to which every utterance is brought, but for a few dB; full scale is 1"""
TALKERS = 8
"""voices that speak at once in a babble"""

Filling = Literal["silence", "room", "noise", "music", "babble"]


@dataclass(frozen=True)
class Style:
    """How recordings of one kind are made."""

    utterances: tuple[int, int]
    """fewest and most"""
    pause: tuple[float, float]
    """shortest and longest pause, in seconds; drawn evenly on a logarithmic scale"""
    fillings: tuple[Filling, ...]
    """what a pause may hold, drawn evenly"""
    level: tuple[float, float] = (-20.0, 0.0)
    """of a pause's sound against the speech, in dB"""


STYLES = {
    "pauses": Style((3, 12), (4, 45), ("silence", "room", "noise", "noise", "music")),
    "dialogue": Style((6, 14), (0.3, 3), ("silence", "room", "room", "noise")),
    "loud-music": Style((3, 8), (4, 30), ("music",), (0.0, 10.0)),
    "babble": Style((3, 8), (4, 30), ("babble",), (-15.0, -5.0)),
    "no-pauses": Style((3, 8), (0.1, 0.6), ("silence", "room")),
}
"""``pauses`` is the main one; in ``no-pauses`` somebody speaks throughout"""


@dataclass(frozen=True)
class Part:
    """A stretch of a recording: an utterance where it has a text, else a pause."""

    start: float
    """seconds"""
    end: float
    text: str | None = None
    filling: str | None = None
    """of a pause: a `Filling`"""
    clip: str | None = None
    """the id of what is heard"""

    @property
    def spoken(self) -> bool:
        return self.text is not None


@dataclass(frozen=True)
class Script:
    """What lies where in a recording."""

    parts: tuple[Part, ...]

    @property
    def utterances(self) -> list[Part]:
        return [part for part in self.parts if part.spoken]

    @property
    def pauses(self) -> list[Part]:
        return [part for part in self.parts if not part.spoken]

    def to_dict(self) -> dict[str, Any]:
        return {"parts": [asdict(part) for part in self.parts]}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Script:
        return cls(tuple(Part(**part) for part in fields["parts"]))


def recordings(clips: list[Clip], style: str, n: int, seed: int, split: Split = "test") -> list[Clip]:
    """``n`` recordings of one of `STYLES` from the clips of a split: speech with a transcript, sounds without voice.

    All utterances of one normaliser; each clip is used as rarely as can be. ``extra`` holds the `Script`. Raises
    `DataError` where the clips do not suffice.
    """
    here = [clip for clip in clips if clip.split == split and clip.condition == "clean"]
    spoken = [c for c in here if c.kind == "speech" and c.text and normalize(c.text, c.normalizer).strip()]
    sounds = [c for c in here if c.kind == "nonspeech" and not c.voice]
    if len(spoken) < STYLES[style].utterances[0]:
        raise DataError(f"recordings need speech with transcripts in split {split!r}: add some")
    rng = np.random.default_rng([seed, *style.encode()])
    queue, noises, music = (
        _Queue(spoken, rng),
        _Queue(sounds, rng),
        _Queue(list(filter(is_music, sounds)), rng),
    )
    return [_plan(f"{style}/{i}", STYLES[style], split, queue, noises, music, rng) for i in range(n)]


MUSIC = ("music", "instruments", "game-opensurge", "musan-music")
"""data sets or labels that are music"""


def is_music(clip: Clip) -> bool:
    return clip.dataset in MUSIC or clip.label in MUSIC


class _Queue:
    """Clips in random order, each once before any comes again."""

    def __init__(self, clips: list[Clip], rng: np.random.Generator) -> None:
        self.clips, self._rng, self._order = clips, rng, list[int]()

    def take(self) -> Clip | None:
        if not self.clips:
            return None
        self._order = self._order or self._rng.permutation(len(self.clips)).tolist()
        return self.clips[self._order.pop()]


def _plan(
    name: str,
    style: Style,
    split: Split,
    spoken: _Queue,
    noises: _Queue,
    music: _Queue,
    rng: np.random.Generator,
) -> Clip:
    """One recording: it begins and ends with a pause."""
    parts: list[Part] = []
    makers: list[Callable[[], Audio]] = []
    place = 0.0

    def add(seconds: float, make: Callable[[], Audio], **fields: Any) -> None:
        nonlocal place
        parts.append(Part(round(place, 4), round(place + seconds, 4), **fields))
        makers.append(make)
        place += seconds

    def pause() -> None:
        seconds = round(float(np.exp(rng.uniform(*np.log(style.pause)))), 2)
        filling: Filling = style.fillings[int(rng.integers(len(style.fillings)))]
        level, seed = float(rng.uniform(*style.level)), int(rng.integers(2**31))
        sound = {"noise": noises, "music": music}.get(filling)
        clip = sound.take() if sound else None
        if sound and clip is None:
            filling = "room"
        voices = [v for _ in range(TALKERS) if (v := spoken.take())] if filling == "babble" else []
        make = partial(_pause, round(seconds * SAMPLE_RATE), filling, clip, voices, level, seed)
        add(seconds, make, filling=filling, clip=clip.id if clip else None)

    pause()
    for _ in range(int(rng.integers(style.utterances[0], style.utterances[1] + 1))):
        clip = spoken.take()
        assert clip is not None
        add(clip.seconds, partial(_utterance, clip, float(rng.uniform(-4, 4))), text=clip.text, clip=clip.id)
        pause()
    normalizers = {clip.normalizer for clip in spoken.clips}
    return Clip(
        "recording",
        split,
        name,
        partial(_joined, tuple(parts), tuple(makers)),
        "recordings",
        id=name,
        seconds=place,
        text=" ".join(part.text for part in parts if part.text),
        normalizer=normalizers.pop() if len(normalizers) == 1 else "english",
        condition=name.partition("/")[0],
        extra=Script(tuple(parts)).to_dict(),
    )


def _joined(parts: tuple[Part, ...], makers: tuple[Callable[[], Audio], ...]) -> Audio:
    out = np.zeros(round(parts[-1].end * SAMPLE_RATE), np.float32)
    for part, make in zip(parts, makers, strict=True):
        samples, first = make(), round(part.start * SAMPLE_RATE)
        out[first : first + len(samples)] = samples[: len(out) - first]
    return out


def _utterance(clip: Clip, decibel: float) -> Audio:
    return levelled(clip.samples(), decibel)


def _pause(
    n: int, filling: Filling, clip: Clip | None, voices: list[Clip], decibel: float, seed: int
) -> Audio:
    rng = np.random.default_rng(seed)
    if filling == "silence":
        return np.zeros(n, np.float32)
    if filling == "room":
        return levelled(rng.standard_normal(n).astype(np.float32), -40 + decibel / 2)
    if filling == "babble":
        sound = np.sum([_looped(levelled(voice.samples(), 0), n, rng) for voice in voices], axis=0)
    else:
        assert clip is not None
        sound = _looped(clip.samples(), n, rng)
    return levelled(sound, decibel)


def _looped(samples: Audio, n: int, rng: np.random.Generator) -> Audio:
    if not len(samples):
        return np.zeros(n, np.float32)
    return np.resize(np.roll(samples, -int(rng.integers(len(samples)))), n)


def levelled(samples: Audio, decibel: float) -> Audio:
    """Samples at a root mean square of ``decibel`` against `LEVEL`, within +-1; digital silence stays as it is."""
    size = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
    gain = LEVEL * 10 ** (decibel / 20) / size if size else 0.0
    return np.clip(samples * gain, -1, 1).astype(np.float32)


__all__ = ["MUSIC", "SAMPLE_RATE", "STYLES", "Part", "Script", "Style", "is_music", "levelled", "recordings"]
