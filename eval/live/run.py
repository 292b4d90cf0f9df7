"""Every system over every recording, one thread, and what was told kept as it comes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from whisper_steer.data.clips import Clip
from whisper_steer.data.recordings import Script

from ..runner import as_line, read_records
from .score import Score, score, utterances
from .systems import systems


@dataclass(frozen=True)
class Row:
    """One system on one recording."""

    score: Score
    cpu: float
    """seconds of processor time"""
    seconds: float
    """of audio"""


def run(
    clips: list[Clip], recordings: list[Clip], models: tuple[str, ...], out: Path
) -> dict[str, list[Row]]:
    """System -> a `Row` for each recording. What ``out`` (JSONL) holds already is not listened to again."""
    torch.set_num_threads(1)
    told = {(line["system"], line["id"]): line for line in read_records(out)}
    for name, make in systems(models).items():
        todo = [each for each in recordings if (name, each.id) not in told]
        system = make() if todo else None
        for recording in todo:
            assert system is not None
            samples = recording.samples()
            began = time.process_time()
            found = system(samples)
            line: dict[str, Any] = {"system": name, "id": recording.id, "told": found}
            line |= {"cpu": round(time.process_time() - began, 3), "seconds": len(samples) / 16000}
            with out.open("a", encoding="utf-8") as file:
                file.write(as_line(line))
            told[name, recording.id] = line
    by_id = {clip.id: clip for clip in clips}
    rows: dict[str, list[Row]] = {name: [] for name in systems(models)}
    for recording in recordings:
        script = Script.from_dict(recording.extra)
        spoken = utterances(script, by_id)
        for name, row in rows.items():
            line = told[name, recording.id]
            row.append(Row(score(line["told"], spoken, script.pauses), line["cpu"], line["seconds"]))
    return rows
