"""``python -m whisper_steer.eval.promise``: does the promise hold, by simulation over divisions of the speakers.

record tiny.en --data manifest:FILE --out evidence.npz     # once: the gate's evidence in every window
simulate evidence.npz                                      # the tables of docs/promises.md
strata tiny.en --data manifest:FILE --write FOLDER         # an artifact's calibration, stratum by stratum
"""

from __future__ import annotations

from pathlib import Path

import click

from whisper_steer.cli import OneLineErrors

DATA = click.option("--data", required=True, help="KIND:PATH, as of whisper-steer benchmark.")
PATH = click.Path(path_type=Path)


@click.command(cls=OneLineErrors)
def promise() -> None:
    """Promises per stratum, simulated."""


@promise.command()
@click.argument("model")
@DATA
@click.option("--seconds", type=float, help="Stop after so many.  [default: when done]")
@click.option("--out", type=PATH, required=True, help="The file of evidence.")
def record(model: str, data: str, seconds: float | None, out: Path) -> None:
    """Write down the evidence in every window of speech in the splits choose and test."""
    from whisper_steer.data.load import load
    from whisper_steer.encoders.fingerprint import encoder_fingerprint
    from whisper_steer.models.load import load_model
    from whisper_steer.steer.steering import steering_for

    from .record import held_out, save
    from .record import record as recorded

    clips = load(data)
    encoder = load_model(model).encoder
    steering = steering_for(lambda: encoder_fingerprint(encoder), "auto")
    assert steering is not None
    noise = [clip for clip in clips if clip.kind == "nonspeech" and not clip.voice]
    found = recorded(steering.prefix(encoder), steering.artifact.gate, held_out(clips), noise, seconds)
    about = {"model": model, "artifact": steering.artifact.digest(), "threshold": steering.threshold}
    save(found, about, out)
    click.echo(f"{out}: {len(found)} windows of {len({each.utterance.speaker for each in found})} speakers")


if __name__ == "__main__":
    promise()
