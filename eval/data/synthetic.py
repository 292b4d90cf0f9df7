"""The built-in set, for which nothing has to be downloaded: synthetic sounds of every generator in
`whisper_steer.synthetic`, and the English speech of the package's calibration pack (synthesised voices)."""

from __future__ import annotations

import zlib
from functools import partial
from pathlib import Path

import numpy as np

from whisper_steer.calibration import load_pack
from whisper_steer.errors import DataError
from whisper_steer.synthetic import GENERATORS, generate

from ..clips import Audio, Clip
from ..normalize import choose_normalizer
from .layout import loader

SECONDS = (2.0, 5.0, 12.0)
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
            read=partial(_sound, name, SECONDS[(turn + offset) % len(SECONDS)], SEED[split]),
            label=name,
        )
        for offset, split in enumerate(("fit", "choose", "test"))
        for turn, name in enumerate(sorted(GENERATORS))
    ]
    return sounds + speech()


def speech() -> list[Clip]:
    """English clips of the calibration pack; half of the voices of its ``choose`` split make the ``test`` split."""
    try:
        pack = load_pack()
    except DataError:
        return []
    clips = []
    for number, clip in enumerate(pack):
        if clip.kind != "speech" or clip.language != "en" or not clip.text:
            continue
        held_out = clip.split == "choose" and zlib.crc32(clip.group.encode()) % 2
        clips.append(
            Clip(
                id=f"calibration/{number}",
                kind="speech",
                dataset="calibration-speech",
                split="test" if held_out else clip.split,
                group=f"calibration-{clip.group}",
                seconds=len(clip.samples) / 16000,
                read=partial(np.asarray, clip.samples),
                text=clip.text,
                normalizer=choose_normalizer(clip.text),
            )
        )
    return clips


def _sound(name: str, seconds: float, seed: int) -> Audio:
    return generate(name, seconds, seed)
