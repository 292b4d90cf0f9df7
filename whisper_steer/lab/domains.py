"""``whisper-steer lab domains``: latents that specialise in speech, in music, in sounds of the environment."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisper_steer.cli.lab import DATA, DEVICE, OUT
from whisper_steer.errors import UsageError
from whisper_steer.lab.inputs import check_width

if TYPE_CHECKING:
    from whisper_steer.data.clips import Split
    from whisper_steer.lab.frames import Frames
    from whisper_steer.lab.specialised import Activity, Frequency
    from whisper_steer.sae.model import SAE

TOP = 10
"""latents of a domain that are listed in the JSON; the table has fewer"""
SHOWN = 3


@click.command()
@click.argument("saes", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--model", required=True, help="The encoder: a name, a .pt, or a folder of Whisper or HuBERT.")
@click.option("--point", "points", multiple=True, required=True, help="Where each SAE lies, in their order.")
@DATA
@click.option("--split", type=click.Choice(["fit", "choose", "test"]), default="test", show_default=True)
@click.option("--clips", type=click.IntRange(2), default=100, show_default=True, help="Of each domain.")
@DEVICE
@OUT
def domains(
    saes: tuple[Path, ...],
    model: str,
    points: tuple[str, ...],
    data: tuple[str, ...],
    split: Split,
    clips: int,
    device: str | None,
    out: Path | None,
) -> None:
    """How many latents of each of the SAES stand for speech, music or environment (arXiv 2602.05027).

    Counted are latents whose frequency of activation inside a domain exceeds that in all others by a threshold, in
    frames and in clips. Beside them how well one latent tells speech: the AUROC of its mean activation over a clip,
    chosen on half of the speakers and recordings and measured on the other. Music is instruments and music, environment
    all other sounds without a voice.
    """
    if len(saes) != len(points):
        raise UsageError(f"{len(saes)} SAEs but {len(points)} points: give --point once for each SAE")
    from whisper_steer.lab.domain_clips import domain_clips
    from whisper_steer.lab.encoders import open_encoder
    from whisper_steer.lab.findings import Findings
    from whisper_steer.lab.frames import frames_of
    from whisper_steer.sae.files import load

    loaded = [load(path).to("cpu") for path in saes]
    encoder = open_encoder(model, device)
    for path, sae in zip(saes, loaded, strict=True):
        check_width(str(path), sae, encoder, model)
    frames = frames_of(encoder, list(dict.fromkeys(points)), domain_clips(data, split, clips))
    found = [specialists(sae, frames[point]) for sae, point in zip(loaded, points, strict=True)]
    values = [
        {"sae": str(path), "point": point, **value}
        for path, point, (value, _) in zip(saes, points, found, strict=True)
    ]
    about = {"model": model, "split": split} | _sizes(frames[points[0]])
    columns, rows = _table(values)
    picture = plot([(point, scatter) for point, (_, scatter) in zip(points, found, strict=True)])
    Findings("domains", about, columns, rows, values, picture).show(out)


def specialists(sae: SAE, frames: Frames) -> tuple[dict[str, Any], dict[str, Frequency]]:
    """What is written of an SAE, and the frequencies inside and outside each domain that there are clips of."""
    import numpy as np

    from whisper_steer.lab.domain_clips import DOMAINS, domain_of
    from whisper_steer.lab.specialised import frequency, separability

    activity = activity_of(sae, frames)
    domain = np.array([domain_of(clip) for clip in frames.clips])
    found: dict[str, Frequency] = {
        name: frequency(activity, domain == name)
        for name in DOMAINS
        if 0 < (domain == name).sum() < len(domain)
    }
    value: dict[str, Any] = {
        "latents": activity.active.shape[1],
        "alive": int((activity.active.sum(axis=0) > 0).sum()),
        "domains": {
            name: {"latents": each.counts(), "strongest": _strongest(each, activity, frames, domain == name)}
            for name, each in found.items()
        },
        "speech": None,
    }
    if best := separability(activity, frames.clips, domain == "speech"):
        value["speech"] = {"latent": best.latent, "more": best.more, "auroc": best.auroc.to_dict()}
    return value, found


def activity_of(sae: SAE, frames: Frames) -> Activity:
    """Of every latent in every clip."""
    import numpy as np
    import torch

    from whisper_steer.lab.specialised import Activity, by_clip

    sums = by_clip(frames.clip, len(frames.clips))
    n_latents = sae.W_dec.shape[0]
    active, strength = (np.zeros((len(frames.clips), n_latents)) for _ in range(2))
    first = 0
    for h in frames.batches():
        with torch.no_grad():
            z = sae.encode(h).numpy()
        part = sums[:, first : first + len(z)]
        active += part @ (z > 0).astype(np.float32)
        strength += part @ z
        first += len(z)
    n = np.bincount(frames.clip, minlength=len(frames.clips)).astype(np.float64)
    return Activity(active, strength / np.maximum(n, 1)[:, None], n)


def _strongest(each: Frequency, activity: Activity, frames: Frames, inside: Any) -> list[dict[str, Any]]:
    """The latents most of this domain, with what they are most active in: labels, or data sets of speech."""
    found = []
    for latent in (each.frames_out - each.frames_in).argsort()[:TOP].tolist():
        heard: Counter[str] = Counter()
        for clip, active in zip(frames.clips, activity.active[:, latent], strict=True):
            heard[clip.label or clip.dataset] += int(active)
        total = sum(heard.values())
        found.append(
            {
                "latent": latent,
                "inside": round(float(each.frames_in[latent]), 4),
                "outside": round(float(each.frames_out[latent]), 4),
                "clips inside": round(float(each.clips_in[latent]), 4),
                "clips outside": round(float(each.clips_out[latent]), 4),
                "heard in": {name: round(n / total, 3) for name, n in heard.most_common(3) if n},
            }
        )
    return found


def _sizes(frames: Frames) -> dict[str, str]:
    """Clips and frames of each domain."""
    from whisper_steer.lab.domain_clips import domain_of

    clips = Counter(domain_of(clip) for clip in frames.clips)
    n = Counter(domain_of(frames.clips[i]) for i in frames.clip.tolist())
    return {str(name): f"{clips[name]} clips of {n[name]} frames" for name in clips}


def _table(values: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    from whisper_steer.eval.report import ci

    columns = ["point", "alive", "domain"]
    rows: list[list[str]] = []
    for value in values:
        for name, found in value["domains"].items():
            counts = found["latents"]
            strongest = ", ".join(
                f"{s['latent']} ({s['inside']:.2f} / {s['outside']:.2f})" for s in found["strongest"][:SHOWN]
            )
            speech = value["speech"] if name == "speech" else None
            auroc = f"{ci(speech['auroc'])} by {speech['latent']}" if speech else ""
            rows.append(
                [value["point"], f"{value['alive']} of {value['latents']}", name]
                + [str(n) for n in counts.values()]
                + [strongest, auroc]
            )
    first = next(iter(values[0]["domains"].values()), None)
    columns += [
        *(first["latents"] if first else []),
        "strongest: latent (inside / outside)",
        "AUROC of one latent",
    ]
    return columns, rows


def plot(found: list[tuple[str, dict[str, Frequency]]]) -> str:
    """Every latent's frequency inside each domain against outside; a row of pictures for each SAE."""
    from matplotlib import pyplot as plt

    from whisper_steer.eval.plots import svg
    from whisper_steer.lab.domain_clips import DOMAINS
    from whisper_steer.lab.specialised import FRAME_THRESHOLDS

    figure, axes = plt.subplots(
        len(found), len(DOMAINS), figsize=(9, 3 * len(found)), squeeze=False, sharex=True, sharey=True
    )
    for row, (point, each) in zip(axes, found, strict=True):
        for axis, name in zip(row, DOMAINS, strict=True):
            if name in each:
                axis.scatter(
                    each[name].frames_out,
                    each[name].frames_in,
                    s=4,
                    lw=0,
                    alpha=0.5,
                    color="#2563eb",
                    rasterized=True,
                )
            for threshold in FRAME_THRESHOLDS:
                axis.plot([0, 1 - threshold], [threshold, 1], color="#6b7280", lw=0.6, ls="--")
            axis.set_title(f"{name}, {point}", fontsize=9, loc="left")
            axis.grid(alpha=0.2)
        row[0].set_ylabel("inside")
    for axis in axes[-1]:
        axis.set_xlabel("outside")
    return svg(figure)
