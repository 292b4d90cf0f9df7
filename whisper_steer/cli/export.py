"""``whisper-steer export``: steering written into a checkpoint, for runtimes without code of ours."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from whisper_steer.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from whisper.model import Whisper

    from whisper_steer.steer.steering import Steering

METHODS = click.Choice(["mean-difference", "clamp", "additive", "scaled-additive", "multiplicative"])
QUANTIZATIONS = click.Choice(["float32", "float16", "int8", "int8_float16", "int8_float32", "int16"])


@click.command()
@click.argument("model")
@click.option(
    "--steering", default="auto", show_default=True, help="auto, an artifact's folder or name, or none."
)
@click.option(
    "--format", type=click.Choice(["openai", "hf", "ct2"]), required=True, help="Runtime of the folder."
)
@click.option("--method", type=METHODS, default="mean-difference", show_default=True, help="What to bake.")
@click.option("--strength", type=float, help="Of the method.  [default: the artifact's]")
@click.option("--quantization", type=QUANTIZATIONS, help="With --format ct2.  [default: float16]")
@click.option(
    "--audio",
    type=click.Path(path_type=Path, exists=True),
    help="Folder of recordings from which a method that is no constant is learned.  [default: the built-in pack]",
)
@click.option(
    "--windows", type=click.IntRange(min=1), default=80, show_default=True, help="How many of them."
)
@click.option(
    "--out", "-o", type=click.Path(path_type=Path), help="Folder to write.  [default: ./NAME-FORMAT]"
)
@click.option(
    "--verify",
    type=click.Path(path_type=Path, exists=True),
    multiple=True,
    help="A recording, or a folder of them: run the folder's encoder and hooks on it, and compare.",
)
@click.option("--model-dir", help="Where official checkpoints are kept.")
def export(
    model: str,
    steering: str,
    format: str,
    method: str,
    strength: float | None,
    quantization: str | None,
    audio: Path | None,
    windows: int,
    out: Path | None,
    verify: tuple[Path, ...],
    model_dir: str | None,
) -> None:
    """Write MODEL with steering baked in, always on and without its gate, or with --steering none as it is.

    mean-difference is one vector, and exact. The other methods depend on the frame: a few neurons, learned from
    audio, do what they do; how well is printed and stands in the card.
    """
    from whisper_steer.export.write import check, check_free, log_mel
    from whisper_steer.export.write import export as write
    from whisper_steer.models.load import load_model

    folder = out or Path(f"{Path(model).stem}-{format}")
    check_free(folder)
    loaded = load_model(model, "cpu", model_dir)
    ready = _steering(loaded, steering, method, strength)
    mels = (log_mel(loaded, samples) for samples in _samples(audio, windows))
    card = write(loaded, folder, format=format, steering=ready, mels=mels, quantization=quantization)  # type: ignore[arg-type]
    click.echo(f"{folder}: {_described(card)}")
    if verify:
        found = check(loaded, ready, folder, _recordings(verify))
        click.echo(
            f"verified on {found.recordings} recordings: encoder output off by {found.max_difference:.2g} at most "
            f"(its root mean square is {found.scale:.2g}), tokens identical on {found.identical_tokens}"
        )


def _steering(model: Whisper, steering: str, method: str, strength: float | None) -> Steering | None:
    from whisper_steer.encoders.fingerprint import encoder_fingerprint
    from whisper_steer.steer.artifact import Artifact
    from whisper_steer.steer.find import find, resolve
    from whisper_steer.steer.steering import Steering

    if steering == "none":
        return None
    path = find(encoder_fingerprint(model.encoder)) if steering == "auto" else resolve(steering)
    if path is None:
        raise ArtifactError(
            "no steering for this checkpoint yet: make it with whisper-steer fit, or --steering none"
        )
    # The promise is of no account: nothing is left out. Any calibration can keep this one.
    return Steering(
        Artifact.load(path), mode="steer", method=method, strength=strength, max_suppressed_speech=0.5
    )


def _samples(audio: Path | None, windows: int) -> Iterator[np.ndarray]:
    """Recordings to learn from, half of them speech where the built-in pack gives them. Read when needed."""
    from whisper_steer.audio.load import load_audio
    from whisper_steer.data.pack import load_pack

    chosen = random.Random(0)
    if audio is not None:
        paths = _recordings((audio,))
        for path in chosen.sample(paths, min(windows, len(paths))):
            yield load_audio(path)
        return
    clips = load_pack()
    for kind in ("speech", "nonspeech"):
        alike = [clip for clip in clips if clip.kind == kind]
        for clip in chosen.sample(alike, min(windows // 2, len(alike))):
            yield clip.samples()


def _recordings(paths: tuple[Path, ...]) -> list[Path]:
    from whisper_steer.data.layout import AUDIO_SUFFIXES

    found = [
        each
        for path in paths
        for each in (sorted(path.rglob("*")) if path.is_dir() else [path])
        if each.suffix.lower() in AUDIO_SUFFIXES
    ]
    if not found:
        raise UsageError(f"no recordings at {', '.join(map(str, paths))}")
    return found


def _described(card: dict[str, object]) -> str:
    baked = card.get("baked")
    if not isinstance(baked, dict):
        return f"converted to {card['format']}, without steering"
    what = f"{baked['method']} of strength {baked['strength']:g} baked in for {card['format']}"
    if baked["exact"]:
        return f"{what}, a constant"
    return (
        f"{what}, {baked['neurons']} neurons that explain {baked['explained_variance']:.1%} of its variance"
    )
