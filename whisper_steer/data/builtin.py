"""The built-in set, for which nothing has to be downloaded: synthetic sounds of every generator in
`whisper_steer.sounds`, and the English speech of the package's calibration pack (synthesised voices)."""

from __future__ import annotations

import zlib
from collections import Counter
from functools import lru_cache, partial
from pathlib import Path
from typing import get_args

from whisper_steer.data.clips import Audio, Clip, Split
from whisper_steer.data.layout import loader
from whisper_steer.data.normalize import choose_normalizer
from whisper_steer.data.pack import load_speech, read_index
from whisper_steer.errors import DataError
from whisper_steer.sounds import GENERATORS, generate

SECONDS = (2.0, 5.0, 12.0)
TEST_SOUNDS = (
    "alarm", "barks", "beeps", "bells", "birds", "call_progress", "chip_music", "clapping", "clock", "dither", "drill",
    "drums", "dtmf", "engine", "fan", "footsteps", "glass", "keyboard", "mains_hum", "pad", "piano_keys", "pink_noise",
    "radio_static", "rain", "room_tone", "silence", "siren", "train", "water", "waves", "white_noise", "wind",
)  # fmt: skip
"""the generators of the test split, so that a run takes less than two minutes; fit and choose hold all of them"""
CLIPS_PER_VOICE = 2
"""of the speech of the test split"""
SEED = {"fit": 100, "choose": 200, "test": 300}


@loader("synthetic")
def synthetic(_: Path) -> list[Clip]:
    """One clip of each generator in each split, of 2, 5 and 12 s in turn (a generator is a group), and speech."""
    sounds = [
        Clip(
            id=f"synthetic/{split}/{name}",
            kind="nonspeech",
            dataset="synthetic",
            split=split,
            group=f"synthetic-{name}",
            seconds=SECONDS[(turn + offset) % len(SECONDS)],
            source=partial(_sound, name, SECONDS[(turn + offset) % len(SECONDS)], SEED[split]),
            label=name,
        )
        for offset, split in enumerate(get_args(Split))
        for turn, name in enumerate(sorted(GENERATORS))
        if split != "test" or name in TEST_SOUNDS
    ]
    return sounds + speech()


def speech() -> list[Clip]:
    """English clips of the calibration pack; half of the voices of its ``choose`` split make the ``test`` split."""
    try:
        index = read_index()["speech"]
    except DataError:
        return []
    clips: list[Clip] = []
    place: Counter[str] = Counter()
    spoken: Counter[str] = Counter()
    for number, entry in enumerate(index):
        position = place[entry["split"]]
        place[entry["split"]] += 1
        if entry["language"] != "en" or not entry["text"]:
            continue
        group = entry["group"]
        held_out = entry["split"] == "choose" and zlib.crc32(group.encode()) % 2
        if held_out:
            spoken[group] += 1
            if spoken[group] > CLIPS_PER_VOICE:
                continue
        clips.append(
            Clip(
                id=f"calibration/{number}",
                kind="speech",
                dataset="calibration-speech",
                split="test" if held_out else entry["split"],
                group=f"calibration-{group}",
                seconds=entry["samples"] / 16000,
                source=partial(_spoken, entry["split"], position),
                text=entry["text"],
                normalizer=choose_normalizer(entry["text"]),
            )
        )
    return clips


@lru_cache(maxsize=2)
def _track(split: Split) -> list[Audio]:
    return [clip.samples() for clip in load_speech(split)]


def _spoken(split: Split, position: int) -> Audio:
    return _track(split)[position]


def _sound(name: str, seconds: float, seed: int) -> Audio:
    return generate(name, seconds, seed)
