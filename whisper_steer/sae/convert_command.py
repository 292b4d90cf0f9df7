"""``whisper-steer sae convert``: an SAE of any known format becomes one of ours or SAELens'."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from whisper_steer.errors import DataError, UsageError

if TYPE_CHECKING:
    from whisper_steer.data.clips import Clip
    from whisper_steer.sae.files import Format
    from whisper_steer.sae.model import SAE

CLIPS = 60
"""of each kind that a threshold is found on"""


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--to", type=click.Choice(["own", "saelens"]), required=True, help="Format of TARGET.")
@click.option("--half", is_flag=True, help="Matrices in float16, in our own format alone.")
@click.option(
    "--calibrate-on",
    multiple=True,
    metavar="DATA",
    help="KIND:PATH, as of whisper-steer benchmark; repeatable. Finds one threshold on the split fit of it.",
)
@click.option("--model", help="The checkpoint whose activations it is calibrated on: Whisper or HuBERT.")
@click.option(
    "--point", help="Where the SAE lies: blocks.N, counted from 0, or ln_post.  [default: what SOURCE says]"
)
@click.option("--device", help="cpu, cuda, ...  [default: cuda where there is one]")
def convert(
    source: Path,
    target: Path,
    to: Format,
    half: bool,
    calibrate_on: tuple[str, ...],
    model: str | None,
    point: str | None,
    device: str | None,
) -> None:
    """Read the SAE SOURCE and write it to TARGET: a .safetensors file of ours, or a folder of SAELens.

    SOURCE is one of ours, a folder of SAELens, or ae.pt of AudioSAE or dictionary_learning. A top-k SAE stays one,
    unless --calibrate-on gives it the one threshold that steering needs.
    """
    from whisper_steer.sae.files import load, save

    if bool(calibrate_on) != (model is not None):
        raise UsageError("--calibrate-on and --model go together: give both or neither")
    if half and to != "own":
        raise UsageError("--half goes with --to own: SAELens' files are written in float32")
    if target.exists() and not (to == "saelens" and target.is_dir() and not any(target.iterdir())):
        raise UsageError(f"{target} exists: name another")
    sae = load(source)
    if point is not None:
        sae.about["hook_point"] = point
    lines = []
    if model is not None:
        sae, line = _calibrated(sae, calibrate_on, model, device)
        lines.append(line)
    save(sae, target, to, half)
    click.echo("\n".join([describe(sae, target), *lines, *_warnings(sae, to)]))


def describe(sae: SAE, path: Path) -> str:
    """What it is, in one line."""
    config, about = sae.config, sae.about
    if config.activation == "topk":
        kept = f"the {config.k} largest a frame"
    elif sae.threshold.dim():
        kept = f"those above a threshold each, {sae.threshold.min():.4f} to {sae.threshold.max():.4f}"
    else:
        kept = f"those above {sae.threshold:.4f}"
    inputs = "of norm 1" if config.frame_norm is None else f"divided by {config.frame_norm:g}"
    origin = f", read as {about['format']}'s" if "format" in about else ""
    place = f" of {about['hook_point']}" if "hook_point" in about else ""
    return f"{path}: {config.n_latents} latents{place}, width {config.n_state}, inputs {inputs}, keeps {kept}{origin}"


def _calibrated(sae: SAE, data: tuple[str, ...], model: str, device: str | None) -> tuple[SAE, str]:
    import torch

    from whisper_steer.data.load import load
    from whisper_steer.data.splits import select
    from whisper_steer.lab.encoders import open_encoder
    from whisper_steer.lab.frames import frames_of
    from whisper_steer.sae.calibrate import FRAMES, calibrated

    place = sae.about.get("hook_point")
    if place is None:
        raise UsageError("the SAE does not say where it lies: name it with --point, blocks.N or ln_post")
    clips = [clip for spec in data for clip in load(spec)]
    chosen = [c for kind in ("speech", "nonspeech") for c in _spread(select(clips, kind, "fit"))]
    if not chosen:
        raise DataError("no clip is of the split fit: name other data with --calibrate-on")
    encoder = open_encoder(model, device)
    if encoder.n_state != sae.config.n_state or place not in encoder.points:
        raise UsageError(
            f"the SAE reads {place} of width {sae.config.n_state}, {model} has {', '.join(encoder.points)} "
            f"of width {encoder.n_state}: name its own model"
        )
    hidden = torch.from_numpy(frames_of(encoder, [place], chosen)[place].hidden)
    hidden = hidden[:: -(-len(hidden) // FRAMES)].float()
    made = calibrated(sae, hidden)
    made.about["calibrated"] = {
        "k": made.config.k,
        "frames": len(hidden),
        "clips": len(chosen),
        "data": list(data),
    }
    return made, (
        f"calibrated: above {float(made.threshold):.4f} lie {made.config.k} latents a frame, "
        f"on average over {len(hidden)} frames of {len(chosen)} clips"
    )


def _spread(clips: list[Clip]) -> list[Clip]:
    return clips[:: max(1, len(clips) // CLIPS)][:CLIPS]


def _warnings(sae: SAE, to: Format) -> list[str]:
    lines = []
    if sae.config.activation == "topk":
        lines.append(
            "top-k needs all latents at once: to steer with it, calibrate it, as fit --sae does on its own"
        )
    if to == "saelens" and sae.config.frame_norm is None and bool(sae.mean.any()):
        lines.append(
            "SAELens centres no inputs: give it h - mean, with the mean in activation_mean.safetensors"
        )
    return lines
