"""What several gates of one model suppress and let through, on the clips of a manifest, in one pass of the encoder.

``python -m benchmarks.pack tiny.en manifest.jsonl --steering ARTIFACT --steering ARTIFACT --split test``

Suppressed: an utterance in which no span is found. Let through: a clip without speech that has one; classes that hold
human voice stand apart. Every gate at its own threshold, at the default promise.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

from whisper_steer.data.own import manifest as from_manifest
from whisper_steer.data.splits import stratified
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.eval.intervals import wilson
from whisper_steer.eval.provenance import provenance
from whisper_steer.fit.listening import Heard, hard_speech, hear
from whisper_steer.gate.conformal import smallest_promise
from whisper_steer.models.load import load_model
from whisper_steer.steer.steering import DEFAULT_MAX_SUPPRESSED_SPEECH, Steering


@click.command(help=__doc__)
@click.argument("model")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--steering", multiple=True, required=True, help="An artifact's folder or name.")
@click.option("--split", default="test", show_default=True)
@click.option("--speech", default=60, show_default=True, help="Clips of each data set of speech.")
@click.option("--hard", default=20, show_default=True, help="Utterances in each hard condition.")
@click.option("--seed", default=0, show_default=True)
def main(
    model: str, manifest: Path, steering: tuple[str, ...], split: str, speech: int, hard: int, seed: int
) -> None:
    clips = [clip for clip in from_manifest(manifest) if clip.split == split]
    other = [clip for clip in clips if clip.kind == "nonspeech"]
    spoken = stratified([clip for clip in clips if clip.kind == "speech"], speech, seed)
    strained = hard_speech(spoken, [clip for clip in other if not clip.voice], hard, seed)
    chosen = {name: Steering(name, max_suppressed_speech=promise(name)) for name in steering}
    encoder = load_model(model, "cpu").encoder
    points = {each.artifact.gate_point for each in chosen.values()}
    if len(points) > 1:
        raise click.UsageError(f"the gates listen at {', '.join(sorted(points))}: give those of one point")
    gates = {name: each.artifact.gate for name, each in chosen.items()}
    prefix = Prefix(encoder, points.pop(), fast=True)
    found = hear(prefix, gates, [*other, *spoken, *strained], split)
    click.echo(provenance(model, encoder, None, [*other, *spoken, *strained]) + "\n")
    click.echo(
        "| steering | gate | threshold | speech suppressed | spoken steps lost | let through | of voice classes "
        "| hard speech suppressed |\n|" + "---|" * 8
    )
    for name, each in chosen.items():
        heard, threshold = found[name], each.threshold
        rows = {
            kind: [h for h in heard if h.kind == kind] for kind in ("speech", "nonspeech", "voice", "hard")
        }
        lost = np.mean([float((steps < threshold).mean()) for h in rows["speech"] for steps in h.losses()])
        shares = [
            _share(rows["speech"], threshold, opens=False), f"{lost:.2%}", _share(rows["nonspeech"], threshold),
            _share(rows["voice"], threshold), _share(rows["hard"], threshold, opens=False),
        ]  # fmt: skip
        cells = [Path(name).name, each.artifact.gate.kind, f"{threshold:.2f}", *shares]
        click.echo("| " + " | ".join(cells) + " |")


def promise(name: str) -> float:
    """The default promise, or the smallest that the artifact's calibration can carry."""
    utterances = Steering(name, max_suppressed_speech=0.5).artifact.calibration.utterances
    return max(DEFAULT_MAX_SUPPRESSED_SPEECH, smallest_promise(utterances))


def _share(heard: list[Heard], threshold: float, *, opens: bool = True) -> str:
    wrong = sum((float(each.evidence.max()) >= threshold) == opens for each in heard)
    share = wilson(wrong, len(heard))
    return f"{wrong} of {len(heard)}: {share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"


if __name__ == "__main__":
    main()
