"""``whisper-steer export``: steering written into a checkpoint, for runtimes without code of ours, or as it is."""

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
    "--format",
    type=click.Choice(["openai", "hf", "ct2", "artifact"]),
    required=True,
    help="Runtime of the folder; artifact: the steering itself, with a README.md.",
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

    What is baked is the method mean-difference: one vector, and so exact. With --format artifact nothing is baked: the
    steering of MODEL is copied to a folder, as whisper-steer push uploads it.
    """
    from whisper_steer.export.write import check, check_free
    from whisper_steer.export.write import export as write
    from whisper_steer.models.load import load_model

    folder = out or Path(f"{Path(model).stem}-{format}")
    if format == "artifact":
        if strength is not None or quantization is not None or verify:
            raise UsageError(
                "--format artifact changes nothing: leave out --strength, --quantization, --verify"
            )
        click.echo(_copied(model, steering, folder, model_dir))
        return
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


def _copied(model: str, steering: str, folder: Path, model_dir: str | None) -> str:
    """Copy the artifact itself; what was written, in words."""
    from whisper_steer.hub.travel import write_folder
    from whisper_steer.models.load import load_model
    from whisper_steer.steer.artifact import check_free
    from whisper_steer.steer.find import resolve

    if steering == "none":
        raise UsageError("--format artifact with --steering none leaves nothing to write")
    check_free(folder)
    source = _artifact(load_model(model, "cpu", model_dir)) if steering == "auto" else resolve(steering)
    return f"{write_folder(source, folder)}: the steering of {source}, as it is"


def _artifact(model: Whisper) -> Path:
    from whisper_steer.encoders.fingerprint import encoder_fingerprint
    from whisper_steer.steer.find import find

    path = find(encoder_fingerprint(model.encoder))
    if path is None:
        raise ArtifactError(
            "no steering for this checkpoint yet: make it with whisper-steer fit, or --steering none"
        )
    return path


def _steering(model: Whisper, steering: str, strength: float | None) -> Steering | None:
    from whisper_steer.steer.artifact import Artifact
    from whisper_steer.steer.find import resolve
    from whisper_steer.steer.steering import Steering

    if steering == "none":
        return None
    path = _artifact(model) if steering == "auto" else resolve(steering)
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
