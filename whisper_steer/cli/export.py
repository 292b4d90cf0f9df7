"""``whisper-steer export``: steering written into a checkpoint, for runtimes without code of ours."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from whisper_steer.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from whisper.model import Whisper

    from whisper_steer.steer.steering import Steering

QUANTIZATIONS = click.Choice(["float32", "float16", "int8", "int8_float16", "int8_float32", "int16"])


@click.command()
@click.argument("model")
@click.option(
    "--steering", default="auto", show_default=True, help="auto, an artifact's folder or name, or none."
)
@click.option(
    "--format", type=click.Choice(["openai", "hf", "ct2"]), required=True, help="Runtime of the folder."
)
@click.option("--strength", type=float, help="Of the vector.  [default: the artifact's]")
@click.option("--quantization", type=QUANTIZATIONS, help="With --format ct2.  [default: float16]")
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
    strength: float | None,
    quantization: str | None,
    out: Path | None,
    verify: tuple[Path, ...],
    model_dir: str | None,
) -> None:
    """Write MODEL with steering baked in, always on and without its gate, or with --steering none as it is.

    What is baked is the method mean-difference: one vector, and so exact.
    """
    from whisper_steer.export.write import check, check_free
    from whisper_steer.export.write import export as write
    from whisper_steer.models.load import load_model

    folder = out or Path(f"{Path(model).stem}-{format}")
    check_free(folder)
    loaded = load_model(model, "cpu", model_dir)
    ready = _steering(loaded, steering, strength)
    card = write(loaded, folder, format=format, steering=ready, quantization=quantization)  # type: ignore[arg-type]
    click.echo(f"{folder}: {_described(card)}")
    if verify:
        found = check(loaded, ready, folder, _recordings(verify))
        click.echo(
            f"verified on {found.recordings} recordings: encoder output off by {found.max_difference:.2g} at most "
            f"(its root mean square is {found.scale:.2g}), tokens identical on {found.identical_tokens}"
        )


def _steering(model: Whisper, steering: str, strength: float | None) -> Steering | None:
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
        Artifact.load(path),
        mode="steer",
        method="mean-difference",
        strength=strength,
        max_suppressed_speech=0.5,
    )


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
    return f"{baked['method']} of strength {baked['strength']:g} baked in for {card['format']}"
