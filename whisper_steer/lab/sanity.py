"""``whisper-steer lab sanity``: is a trained SAE better than dictionaries that learned nothing, steering included?

The controls of arXiv 2602.14111 (`whisper-steer sae train --control`) go through what the trained SAE goes through:
how much they explain, what can be read off their latents, and what steering by them silences and costs.
"""

from __future__ import annotations

from pathlib import Path

import click

from whisper_steer.cli.lab import DATA, DEVICE


def _named(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, Path]:
    pairs = [each.partition("=") for each in given]
    if any(not (name and equals and path) for name, equals, path in pairs):
        raise click.BadParameter("write NAME=FILE")
    if len({name for name, *_ in pairs}) < len(pairs):
        raise click.BadParameter("every name may stand once")
    return {name: Path(path) for name, _, path in pairs}


@click.command()
@click.argument("model")
@click.option("--point", required=True, help="Hook point of the SAEs: blocks.2, ln_post.")
@click.option(
    "--sae", "saes", multiple=True, required=True, callback=_named, help="NAME=FILE; the trained one first."
)
@DATA
@click.option(
    "--limit", type=click.IntRange(2), default=60, show_default=True, help="Clips of each kind and split."
)
@click.option(
    "--strength", "strengths", multiple=True, type=float,
    help="Times the length of the first SAE's change; repeatable.  [default: 0.5, 1 and 1.5]",
)  # fmt: skip
@DEVICE
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder of the run, which resumes there."
)
def sanity(
    model: str,
    point: str,
    saes: dict[str, Path],
    data: tuple[str, ...],
    limit: int,
    strengths: tuple[float, ...],
    device: str | None,
    out: Path,
) -> None:
    """Explained variance, and steering by the latents of each SAE and by dense directions of the same length.

    SAEs are fitted to on the fit split, their conditions calibrated on choose, all is measured on test.
    """
    from whisper_steer.data.load import load
    from whisper_steer.eval.curves.bench import pick
    from whisper_steer.eval.curves.material import clip_activations
    from whisper_steer.lab.findings import Findings
    from whisper_steer.lab.steered import EVERYWHERE, HERE, STRENGTHS, plot, rows, steer
    from whisper_steer.models.load import load_model
    from whisper_steer.sae.files import load as load_sae
    from whisper_steer.sae.train import measure

    loaded = load_model(model, device)
    dictionaries = {name: load_sae(path) for name, path in saes.items()}
    clips = [clip for each in data for clip in load(each)]
    fit, choose, test = (pick(clips, split, limit) for split in ("fit", "choose", "test"))
    held = clip_activations(loaded, point, test)
    qualities = {name: measure(sae, held) for name, sae in dictionaries.items()}
    points = steer(loaded, point, dictionaries, fit, choose, test, out, strengths or STRENGTHS)
    about = {"model": model, "point": point, "clips of a kind": limit, "data": " ".join(data)}
    columns = [
        "dictionary",
        "explained",
        "a frame",
        "dead",
        "strength",
        f"fsr_text, {HERE}",
        "fsr_raw",
        "fsr_score",
    ]
    columns += ["added WER", f"added WER, {EVERYWHERE}", "fsr_text"]
    shown, values = rows(points, qualities)
    Findings("sanity", about, columns, shown, values, plot(points)).show(out)
