"""Options that the commands on classes of clips share, and what they open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisper_steer.errors import UsageError

if TYPE_CHECKING:
    from whisper_steer.data.clips import Clip
    from whisper_steer.lab.encoders import SpeechEncoder
    from whisper_steer.sae.model import SAE

MODEL = click.option("--model", required=True, help="Checkpoint of Whisper or folder of HuBERT.")
SAES = click.option(
    "--sae", "saes", multiple=True, required=True, metavar="POINT=FILE",
    help="An SAE and the hook point it reads, as blocks.2=FILE; repeatable, also for one hook point.",
)  # fmt: skip
DATASET = click.option(
    "--dataset", "datasets", multiple=True, help="Data sets of --data to take; repeatable.  [default: all]"
)
SEED = click.option("--seed", default=0, show_default=True, help="Of samples and random controls.")


def shared(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Decorator: the options, in their order in --help."""

    def add(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def read_data(specs: Sequence[str], datasets: Sequence[str]) -> list[Clip]:
    """Clips of ``KIND:PATH`` specs. Raises `UsageError` for a data set that they do not hold, and what `load` does."""
    from whisper_steer.data.load import load

    clips = [clip for spec in specs for clip in load(spec)]
    there = {clip.dataset for clip in clips}
    if unknown := set(datasets) - there:
        raise UsageError(f"no data set {', '.join(sorted(unknown))}; there are {', '.join(sorted(there))}")
    return [clip for clip in clips if not datasets or clip.dataset in datasets]


def under_conditions(clips: Sequence[Clip], conditions: Sequence[str], seed: int) -> list[Clip]:
    """The clips; where there are conditions of the benchmark, the speech, and that speech under each, split by split: a
    sound that is mixed into speech of one split is in no other. Raises `UsageError` for an unknown condition."""
    from whisper_steer.data.splits import one_side
    from whisper_steer.eval.conditions import apply, parse

    if not conditions:
        return list(clips)
    names, found = parse(list(conditions)), [clip for clip in clips if clip.kind == "speech"]
    for split in ("fit", "choose", "test"):
        if part := [clip for clip in one_side(list(clips)) if clip.split == split]:
            found += apply(names, part, None, seed)
    return found


def points_of(encoder: SpeechEncoder, points: Sequence[str], of_saes: Collection[str]) -> list[str]:
    """Hook points that are named, or "all", with those of SAEs, in the order of the encoder. Raises `UsageError`."""
    if unknown := set(points) - {*encoder.points, "all"}:
        raise UsageError(
            f"no hook point {', '.join(sorted(unknown))}; there are {', '.join(encoder.points)}, all"
        )
    return [point for point in encoder.points if "all" in points or point in points or point in of_saes]


@dataclass(frozen=True)
class Placed:
    """An SAE at its hook point."""

    label: str
    """the hook point, and behind it the name of the file where several SAEs are of one"""
    sae: SAE


def open_saes(
    model: str, saes: Sequence[str], device: str | None
) -> tuple[SpeechEncoder, dict[str, list[Placed]]]:
    """The encoder, and the SAEs by hook point in the encoder's order. Raises `UsageError` where a point or a width does
    not fit the model, or a file is named twice."""
    from whisper_steer.lab.encoders import open_encoder
    from whisper_steer.sae.files import load

    files: list[tuple[str, Path]] = []
    for each in saes:
        point, sign, path = each.partition("=")
        if not sign or not path:
            raise UsageError(f"--sae {each} should be POINT=FILE, as in blocks.2={each}")
        if (point, Path(path)) in files:
            raise UsageError(f"--sae {each} stands twice: name each SAE once")
        files.append((point, Path(path)))
    encoder = open_encoder(model, device)
    several = Counter(point for point, _ in files)
    if unknown := set(several) - set(encoder.points):
        raise UsageError(f"{model} has no {', '.join(sorted(unknown))}; it has {', '.join(encoder.points)}")
    found: dict[str, list[Placed]] = {}
    for point, file in sorted(files, key=lambda each: encoder.points.index(each[0])):
        sae = load(file)
        check_width(str(file), sae, encoder, model)
        label = f"{point} {'/'.join(file.with_suffix('').parts[-2:])}" if several[point] > 1 else point
        found.setdefault(point, []).append(Placed(label, sae))
    return encoder, found


def check_width(name: str, sae: SAE, encoder: SpeechEncoder, model: str) -> None:
    """Raise `UsageError` where an SAE reads activations of another width than the encoder's."""
    if sae.config.n_state != encoder.n_state:
        raise UsageError(
            f"{name} reads {sae.config.n_state} dimensions, {model} has {encoder.n_state}: pass an SAE of this model"
        )
