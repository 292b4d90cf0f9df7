"""An artifact's calibration, stratum by stratum, into its card."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from whisper_steer.data.clips import Clip
from whisper_steer.data.splits import halves, select, unfitted
from whisper_steer.errors import UsageError
from whisper_steer.files.card import CARD
from whisper_steer.files.disk import write_whole
from whisper_steer.gate.strata import Stratum, rows
from whisper_steer.steer.artifact import Artifact

from .tables import table


def calibrating_speech(clips: list[Clip]) -> list[Clip]:
    """All speech of the half of `choose` that calibrates, of speakers of whom nothing was fitted."""
    return unfitted(halves(select(clips, "speech", "choose"))[1], clips)


def strata_table(strata: Sequence[Stratum], in_use: float) -> str:
    """Markdown."""
    lines = [
        [
            each.stratum, str(each.windows), str(each.speakers), f"{each.promise:.2%}", f"{each.threshold:.2f}",
            f"{each.left_out:.2%}", "yes" if each.keeps else "**no**",
        ]
        for each in strata
    ]  # fmt: skip
    header = ["stratum", "windows", "speakers", "promise it can carry", "threshold it needs"]
    header += [f"left out at {in_use:.2f}", "kept"]
    return table(header, lines).replace("%", " %")


def written(artifact: Artifact, strata: Sequence[Stratum]) -> str:
    """Put the strata into the card beside the artifact; nothing else of it changes. What was done, in a line."""
    if artifact.path is None:
        raise UsageError("the artifact lies in no folder: save it first")
    card = replace(artifact, info={**artifact.info, "strata": rows(strata)}).card()
    write_whole(artifact.path / CARD, json.dumps(card, indent=2) + "\n")
    return f"{artifact.path / CARD}: {len(strata)} strata"
