"""``whisper-steer calibrate``: the gate's threshold anew, from one's own recordings of speech."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from whisper_steer.cli import describe
from whisper_steer.cli.options import underscored

if TYPE_CHECKING:
    from whisper_steer.gate.strata import Utterance
    from whisper_steer.steer.steering import Steering

PATH = click.Path(path_type=Path)


@click.command(context_settings={"token_normalize_func": underscored})
@click.argument("model")
@click.argument("recordings", nargs=-1, required=True, type=PATH)
@click.option("--steering", default="auto", show_default=True, help="auto, or an artifact's folder or name.")
@click.option("--out", "-o", type=PATH, help="Folder of the artifact.  [default: where MODEL finds it]")
@click.option("--device", help="Device of PyTorch.  [default: cuda where there is one, else cpu]")
@click.option("--model_dir", help="Where models are kept.  [default: ~/.cache/whisper]")
def calibrate(
    model: str,
    recordings: tuple[Path, ...],
    steering: str,
    out: Path | None,
    device: str | None,
    model_dir: str | None,
) -> None:
    """Set the threshold of MODEL's gate by RECORDINGS: 50 or more files, or folders of them, in which somebody speaks.

    Each counts once, however long it is, and should be of another person or occasion, as those to come are. Without
    --out every later run with MODEL takes the new threshold; delete the folder that is told to go back.
    """
    from tqdm import tqdm

    from whisper_steer.audio.load import load_audio
    from whisper_steer.data.layout import audio_files
    from whisper_steer.encoders.fingerprint import encoder_fingerprint
    from whisper_steer.errors import AudioError, UsageError
    from whisper_steer.fit.recalibrate import recalibrated, spoken_evidence
    from whisper_steer.gate.strata import Utterance
    from whisper_steer.models.load import load_model
    from whisper_steer.steer.artifact import check_free
    from whisper_steer.steer.find import recalibrated_folder
    from whisper_steer.steer.steering import Steering, steering_for

    if steering == "none":
        raise UsageError("calibrating needs steering: leave --steering out, or name an artifact")
    files = [file for each in recordings for file in (audio_files(each) if each.is_dir() else [each])]
    if out is not None:
        check_free(out)
    encoder = load_model(model, device, model_dir).encoder
    former = steering_for(lambda: encoder_fingerprint(encoder), steering)
    assert former is not None
    prefix = former.prefix(encoder)
    heard: list[Utterance] = []
    for file in tqdm(dict.fromkeys(files), unit="file", desc="listening"):
        try:
            found = spoken_evidence(prefix, former.artifact.gate, load_audio(file))
        except (AudioError, OSError) as error:
            click.echo(f"Skipping {file}: {describe(error)}", err=True)
            continue
        if len(found):
            heard.append(Utterance(str(file), (), found))
        else:
            click.echo(f"Skipping {file}: Silero hears no speech in it", err=True)
    artifact = recalibrated(former.artifact, [each.heard for each in heard])
    target = out or recalibrated_folder(artifact)
    check_free(target)
    artifact.save(target, keep=former.artifact.path)
    click.echo("\n".join(summary(former, Steering(artifact), heard)))
    click.echo(f"{target}: " + ("found from now on" if out is None else f"use it with --steering {target}"))


def summary(former: Steering, now: Steering, heard: list[Utterance]) -> list[str]:
    """What the recordings said of the former threshold, what the new one promises, and what it costs."""
    from whisper_steer.gate.verdict import judge

    before = judge([each.loss(former.threshold) for each in heard], former.promise)
    after = sum(each.loss(now.threshold) for each in heard) / len(heard)
    nonspeech = former.artifact.calibration.nonspeech
    through = [f"{float((nonspeech >= each.threshold).float().mean()):.1%}" for each in (former, now)]
    return [
        f"{len(heard)} recordings: the former threshold {former.threshold:.2f} left out {before.mean:.2%} of what is "
        f"spoken in them; its promise of {former.promise:.2%}: {before.answer}",
        f"threshold {now.threshold:.2f} leaves out {after:.2%}; of the next recording like these at most "
        f"{now.promise:.2%} is expected to be left out, the smallest promise that {len(heard)} can carry",
        f"of {len(nonspeech)} sounds and pauses without speech {through[1]} have a span there, {through[0]} before",
    ]


__all__ = ["calibrate", "summary"]
