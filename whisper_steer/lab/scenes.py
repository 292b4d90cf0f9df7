"""Scenes and windows to train gates on, made by many processes.

``python -m whisper_steer.lab.scenes manifest:FILE --out DIR``

A folder ``fit`` of `whisper_steer.fit.scenes` and `whisper_steer.fit.windows` from clips of the fit split, and a folder
``choose`` of scenes from those of choose, by which the SAEs are measured. Each holds ``samples.npy`` (n, 480000)
float32, ``labels.npy`` (n, 1500) int8 and ``content.npy`` (n,) int32, the frames of audio: 14 GB for the defaults.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from tqdm import tqdm
from whisper.audio import N_SAMPLES

from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import FRAMES
from whisper_steer.data.load import load
from whisper_steer.errors import DataError, UsageError
from whisper_steer.files.disk import allocate
from whisper_steer.files.scratch import keep_from_removal, scratch_folder
from whisper_steer.fit.pipeline import split_up
from whisper_steer.fit.scenes import scenes
from whisper_steer.fit.windows import plan
from whisper_steer.lab.command import Command

ARRAYS = {
    "samples": ((N_SAMPLES,), np.float32),
    "labels": ((FRAMES,), np.int8),
    "content": ((), np.int32),
}
"""of a window: shape and type"""
TOLD = "scenes.json"
SIZES = {"scenes": 93, "windows": 75}
"""of a part, which is made at a time from a seed of its own: what is made does not depend on the number of processes"""
SEEDS = {"scenes": 1000, "windows": 5000, "held-out": 9000}
"""of the first part"""

_clips: dict[tuple[str, str], list[Clip]] = {}


@dataclass(frozen=True)
class Part:
    """``n`` windows from row ``first`` of a folder on."""

    folder: Path
    kind: str
    first: int
    n: int
    seed: int


@dataclass
class Made:
    """One of the folders, memory-mapped."""

    samples: np.ndarray
    labels: np.ndarray
    content: np.ndarray

    def __len__(self) -> int:
        return len(self.content)


@click.command(cls=Command, help=__doc__)
@click.argument("data", nargs=-1, required=True, metavar="KIND:PATH...")
@click.option("--scenes", "n_scenes", type=click.IntRange(0), default=6000, show_default=True)
@click.option(
    "--windows",
    "n_windows",
    type=click.IntRange(0),
    default=1200,
    show_default=True,
    help="Half with speech, half without.",
)
@click.option("--held-out", type=click.IntRange(1), default=160, show_default=True, help="Scenes of choose.")
@click.option(
    "--workers", type=click.IntRange(1), help="Processes.  [default: as many as the machine has cores]"
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder that does not exist yet.")
def main(
    data: tuple[str, ...], n_scenes: int, n_windows: int, held_out: int, workers: int | None, out: Path
) -> None:
    make(list(data), n_scenes, n_windows, held_out, workers or os.cpu_count() or 1, out)


def make(data: list[str], n_scenes: int, n_windows: int, held_out: int, workers: int, out: Path) -> None:
    """Write the folder, which appears whole or not at all; the same for the same ``data``, as `load` takes it.

    Raises `UsageError` where ``out`` exists or nothing is asked for, `OSError` where the disk has no room, and what
    `load` and `split_up` raise.
    """
    if out.exists():
        raise UsageError(f"{out} exists: name a new folder, or move that away first")
    if not n_scenes + n_windows:
        raise UsageError("there is nothing to make: ask for --scenes or --windows")
    clips = split_up([clip for each in data for clip in load(each)])
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(f".{out.name}-", out.parent) as scratch:
        made = scratch / "made"
        parts = [
            *_parts(made / "fit", "scenes", n_scenes, 0),
            *_parts(made / "fit", "windows", n_windows, n_scenes),
            Part(made / "choose", "held-out", 0, held_out, SEEDS["held-out"]),
        ]
        _reserve(made / "fit", n_scenes + n_windows)
        _reserve(made / "choose", held_out)
        total = n_scenes + n_windows + held_out
        pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_take, initargs=(clips,))
        with pool, tqdm(total=total, desc="scenes", unit="window") as bar:
            for n in pool.map(_fill, parts):
                bar.update(n)
        told = {"data": data, "scenes": n_scenes, "windows": n_windows, "held_out": held_out}
        (made / TOLD).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        keep_from_removal(scratch)
        os.replace(made, out)


def read(folder: Path, name: str) -> Made:
    """The windows of ``folder``, "fit" or "choose". Raises `DataError` where `make` has not made them."""
    if not (folder / TOLD).is_file():
        raise DataError(
            f"{folder} holds no scenes: make them with python -m whisper_steer.lab.scenes KIND:PATH --out {folder}"
        )
    return Made(**{each: np.load(folder / name / f"{each}.npy", mmap_mode="r") for each in ARRAYS})


def _parts(folder: Path, kind: str, n: int, row: int) -> list[Part]:
    size = SIZES[kind]
    return [
        Part(folder, kind, row + first, min(size, n - first), SEEDS[kind] + number)
        for number, first in enumerate(range(0, n, size))
    ]


def _reserve(folder: Path, n: int) -> None:
    """Arrays of ``n`` windows, with room on the disk for all of them."""
    folder.mkdir(parents=True)
    for name, (shape, dtype) in ARRAYS.items():
        layout: dict[str, Any] = {"shape": (n, *shape), "fortran_order": False, "descr": np.dtype(dtype).str}
        with (folder / f"{name}.npy").open("w+b") as file:
            np.lib.format.write_array_header_1_0(file, layout)
            allocate(file, file.tell() + n * int(np.prod(shape)) * np.dtype(dtype).itemsize)


def _take(clips: dict[tuple[str, str], list[Clip]]) -> None:
    """Start of a process."""
    torch.set_num_threads(1)
    _clips.update(clips)


def _fill(part: Part) -> int:
    split = "choose" if part.kind == "held-out" else "fit"
    clips = _clips["speech", split], _clips["nonspeech", split]
    if part.kind == "windows":
        windows = plan(*clips, part.n // 2, part.n - part.n // 2, part.seed)
    else:
        windows = scenes(*clips, part.n, part.seed)
    arrays = {name: np.load(part.folder / f"{name}.npy", mmap_mode="r+") for name in ARRAYS}
    for row, window in enumerate(windows, part.first):
        for name, array in arrays.items():
            array[row] = getattr(window, name)
    return part.n


if __name__ == "__main__":
    main()
