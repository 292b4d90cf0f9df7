"""``python -m whisper_steer.eval.promise``: does the promise hold, by simulation over divisions of the speakers.

record tiny.en --data manifest:FILE --out evidence.npz     # once: the gate's evidence in every window
simulate evidence.npz                                      # the tables of docs/promises.md
strata evidence.npz --data manifest:FILE --write           # the calibration, stratum by stratum, into the card
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
    """Write down the evidence in every window of speech in the splits choose and test.

    The same command goes on where it stopped.
    """
    from whisper_steer.data.load import load
    from whisper_steer.encoders.fingerprint import encoder_fingerprint
    from whisper_steer.models.load import load_model
    from whisper_steer.steer.steering import steering_for

    from .record import held_out, load_evidence, save
    from .record import record as recorded

    clips = load(data)
    encoder = load_model(model).encoder
    steering = steering_for(lambda: encoder_fingerprint(encoder), "auto")
    assert steering is not None
    before = load_evidence(out, steering.artifact.digest()) if out.exists() else []
    done = {each.clip for each in before}
    chosen = [clip for clip in held_out(clips) if clip.id not in done]
    noise = [clip for clip in clips if clip.kind == "nonspeech" and not clip.voice]
    prefix, gate = steering.prefix(encoder), steering.artifact.gate
    found = [*before, *recorded(prefix, gate, chosen, noise, seconds)]
    about = {
        "model": model,
        "artifact": steering.artifact.digest(),
        "threshold": steering.threshold,
        "promise": steering.promise,
    }
    save(found, about, out)
    click.echo(f"{out}: {len(found)} windows of {len({each.utterance.speaker for each in found})} speakers")


@promise.command()
@click.argument("evidence", type=PATH)
@click.option("--divisions", type=click.IntRange(2), default=600, show_default=True)
def simulate(evidence: Path, divisions: int) -> None:
    """Divide the speakers again and again: calibrate on one half, look at the other."""
    from .record import load
    from .tables import page

    click.echo(page(*load(evidence), divisions))


@promise.command()
@click.argument("evidence", type=PATH)
@DATA
@click.option("--steering", help="An artifact's folder or name.  [default: the model's that was recorded]")
@click.option("--write", is_flag=True, help="Into the artifact's card.")
def strata(evidence: Path, data: str, steering: str | None, write: bool) -> None:
    """Show what each stratum of an artifact's calibration speech needs, and keep it in the card."""
    from whisper_steer.data.load import load
    from whisper_steer.gate.strata import calibrated
    from whisper_steer.steer.steering import Steering

    from .card import calibrating_speech, strata_table, written
    from .record import load as load_recorded
    from .record import load_evidence

    ready = Steering(steering or load_recorded(evidence)[0]["model"])
    speech = {clip.id for clip in calibrating_speech(load(data))}
    recorded = load_evidence(evidence, ready.artifact.digest())
    chosen = [each.utterance for each in recorded if each.clip in speech]
    found = calibrated(chosen, ready.promise, ready.threshold)
    click.echo(strata_table(found, ready.threshold))
    if write:
        click.echo(written(ready.artifact, found))


if __name__ == "__main__":
    promise()
