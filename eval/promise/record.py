"""The evidence in windows of held-out speech, recorded once: what all divisions of the speakers are simulated from."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from tqdm import tqdm

from whisper_steer.data.clips import Clip
from whisper_steer.data.splits import unfitted
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import AudioError, DataError
from whisper_steer.files.output import moved_into
from whisper_steer.fit.strata import utterances
from whisper_steer.gate.kinds import Gate
from whisper_steer.gate.strata import Utterance

MOST_OF_A_SPEAKER = 30


@dataclass(frozen=True, eq=False)
class Recorded:
    """An utterance and the clip it is of."""

    utterance: Utterance
    dataset: str
    split: str
    clip: str


def held_out(clips: list[Clip]) -> list[Clip]:
    """The speech of `choose` and `test` of speakers of whom nothing was fitted, at most `MOST_OF_A_SPEAKER` of each.

    In a drawn order that is always the same: the first of them are a fair sample.
    """
    count: dict[str, int] = {}
    chosen = []
    spoken = unfitted([clip for clip in clips if clip.kind == "speech" and clip.split != "fit"], clips)
    for i in np.random.default_rng(0).permutation(len(spoken)):
        clip = spoken[i]
        count[clip.group] = count.get(clip.group, 0) + 1
        if count[clip.group] <= MOST_OF_A_SPEAKER:
            chosen.append(clip)
    return chosen


def record(
    prefix: Prefix, gate: Gate, clips: Sequence[Clip], noise: Sequence[Clip], seconds: float | None = None
) -> list[Recorded]:
    """Every clip through the gate, in all conditions, or the first, where ``seconds`` do not suffice for more.

    ``noise``: only that of a clip's own split is mixed with it.
    """
    found: list[Recorded] = []
    end = math.inf if seconds is None else time.monotonic() + seconds
    for clip in tqdm(clips, unit="clip", desc="listening"):
        if time.monotonic() > end:
            break
        beside = [other for other in noise if other.split == clip.split]
        try:
            heard = list(utterances(prefix, gate, clip, beside, 0))
        except AudioError as error:
            click.echo(f"Skipping {clip.source}: {error}", err=True)
            continue
        found += [Recorded(each, clip.dataset, clip.split, clip.id) for each in heard]
    return found


def save(recorded: Sequence[Recorded], about: dict[str, Any], path: Path) -> None:
    """Write the file; it appears whole or not at all."""
    rows = [[r.utterance.speaker, list(r.utterance.strata), r.dataset, r.split, r.clip] for r in recorded]
    with moved_into(path.parent) as folder:
        np.savez_compressed(
            folder / path.name,
            values=np.concatenate([r.utterance.heard for r in recorded]),
            lengths=np.array([len(r.utterance.heard) for r in recorded]),
            rows=np.array(json.dumps({"about": about, "rows": rows})),
        )


def load_evidence(path: Path, artifact: str) -> list[Recorded]:
    """What was recorded with an artifact of that digest. Raises `DataError`, also where it was another."""
    about, recorded = load(path)
    if about.get("artifact") != artifact:
        raise DataError(f"{path} was recorded with another artifact; record anew into another file")
    return recorded


def load(path: Path) -> tuple[dict[str, Any], list[Recorded]]:
    """What was recorded, and on what. Raises `DataError` where the file is missing or none of ours."""
    try:
        with np.load(path, allow_pickle=False) as file:
            told = json.loads(str(file["rows"]))
            parts = np.split(file["values"], np.cumsum(file["lengths"])[:-1])
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} holds no recorded evidence ({error}); run: record") from error
    return told["about"], [
        Recorded(Utterance(speaker, tuple(strata), heard), dataset, split, clip)
        for (speaker, strata, dataset, split, clip), heard in zip(told["rows"], parts, strict=True)
    ]
