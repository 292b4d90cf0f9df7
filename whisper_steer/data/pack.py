"""The calibration pack: speech of many synthesised voices, and synthetic non-speech, to fit steering without data.

`load_pack()` reads it from the installed package. Speech is stored as two Ogg Opus files (one per split) with an
index; non-speech is not stored but made again from the seeds in the index. Most speech is near and
clean, some in a room, far, in noise or narrow; the fit's scenes add noise, telephone and gain. Splits are by speaker.
`whisper_steer.data.make_pack` makes it.
"""

from __future__ import annotations

import json
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from whisper_steer.data.clips import Audio, Clip, Split
from whisper_steer.errors import DataError
from whisper_steer.sounds import generate, walks
from whisper_steer.sounds.textures import recorded

PACK = "calibration-pack"
"""data set of its clips"""
FOLDER = Path(__file__).parents[1] / "assets" / "calibration"
WALK = "walk: "
"""what the names of sounds that `whisper_steer.sounds.walks` draws begin with"""
AS_MADE = ("silence", "dither")
"""sounds that no microphone takes"""
SPLITS: tuple[Split, ...] = ("fit", "choose")


def load_pack(folder: Path = FOLDER) -> list[Clip]:
    """All clips, speech first, about 17 and 36 minutes. Raises `DataError` where the pack is absent or damaged."""
    clips = [clip for split in SPLITS for clip in load_speech(split, folder)]
    for s in read_index(folder)["nonspeech"]:
        make = Made(s["name"], s["seconds"], s["seed"])
        name = f"{PACK}/{s['name']}-{s['seed']}"
        clips.append(
            Clip(
                "nonspeech", s["split"], s["name"], make, PACK, id=name, seconds=s["seconds"], label=s["name"]
            )
        )
    return clips


class Made:
    """A sound of the pack, made when it is first asked for and then kept: a fit asks for it many times."""

    def __init__(self, name: str, seconds: float, seed: int) -> None:
        self._make = partial(recorded_sound, name, seconds, seed)
        self._samples: Audio | None = None

    def __call__(self) -> Audio:
        if self._samples is None:
            self._samples = self._make()
        return self._samples


def recorded_sound(name: str, seconds: float, seed: int) -> Audio:
    """`whisper_steer.sounds.generate`, or a walk, as a microphone takes it."""
    rng = np.random.default_rng([seed, zlib.crc32(f"recorded {name}".encode())])
    if name.startswith(WALK):
        samples = walks.walk(name.removeprefix(WALK), seconds, seed)
    else:
        samples = generate(name, seconds, seed)
    return samples if name in AS_MADE else np.asarray(recorded(rng, samples), np.float32)


def load_speech(split: Split, folder: Path = FOLDER) -> list[Clip]:
    """The speech of one split, in the order of the index; takes seconds. Raises `DataError`."""
    entries = [s for s in read_index(folder)["speech"] if s["split"] == split]
    try:
        tracks = {
            name: soundfile.read(folder / name, dtype="float32")[0] for name in {s["file"] for s in entries}
        }
    except (OSError, soundfile.LibsndfileError) as error:
        raise _unreadable(folder, error) from error
    clips = []
    for number, s in enumerate(entries):
        samples = tracks[s["file"]][s["offset"] : s["offset"] + s["samples"]]
        if len(samples) != s["samples"]:
            raise DataError(f"{folder / s['file']} is shorter than its index says; reinstall whisper-steer")
        clips.append(
            Clip(
                "speech", split, s["group"], samples, PACK, id=f"{PACK}/{split}/{number}",
                seconds=s["samples"] / 16000, text=s["text"], language=s["language"],
            )
        )  # fmt: skip
    return clips


def read_index(folder: Path = FOLDER) -> dict[str, list[dict[str, Any]]]:
    """``speech`` and ``nonspeech``: what is in the pack, without its sound. Raises `DataError`."""
    try:
        index: dict[str, list[dict[str, Any]]] = json.loads(
            (folder / "index.json").read_text(encoding="utf-8")
        )
        return {kind: index[kind] for kind in ("speech", "nonspeech")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(folder, error) from error


def _unreadable(folder: Path, error: Exception) -> DataError:
    return DataError(f"no calibration pack can be read from {folder} ({error}); reinstall whisper-steer")


__all__ = ["FOLDER", "PACK", "SPLITS", "load_pack", "load_speech", "read_index"]
