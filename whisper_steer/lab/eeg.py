"""``whisper-steer lab eeg``: do latents predict EEG of people who hear the same sound?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from whisper_steer.cli.lab import OUT

SHOWN = 20
"""rows of the table; JSON has them all"""
KERNELS = 5
"""response functions in the picture"""


@click.command()
@click.argument("sae", type=click.Path(path_type=Path))
@click.option("--model", required=True, help="The model that the SAE was trained on.")
@click.option("--point", required=True, help="Where the SAE lies: blocks.N or ln_post.")
@click.option(
    "--eeg", "source", required=True, metavar="FOLDER|naplib|simulated",
    help="Trials of SUBJECT/TRIAL.npz and .wav; naplib's simulated task; or EEG made here from latents.",
)  # fmt: skip
@click.option("--latents", default=40, show_default=True, type=click.IntRange(1), help="How many to draw.")
@click.option("--channel", help="Of the EEG.  [default: Pz, or the first where there is none]")
@click.option(
    "--permutations", type=click.IntRange(1),
    help="Of the latents.  [default: what Holm's correction needs for one subject; 100 for each of several]",
)  # fmt: skip
@click.option(
    "--planted",
    default=5,
    show_default=True,
    type=click.IntRange(0),
    help="Latents that simulated EEG obeys.",
)
@click.option("--seed", default=0, show_default=True, help="Of latents, permutations and simulated EEG.")
@OUT
def eeg(
    sae: Path,
    model: str,
    point: str,
    source: str,
    latents: int,
    channel: str | None,
    permutations: int | None,
    planted: int,
    seed: int,
    out: Path | None,
) -> None:
    """Which latents of SAE predict EEG better than the same latents moved in time?

    Response functions of 0 to 500 ms, 1-8 Hz at 128 Hz, held-out trials, one-sided, Holm-corrected (arXiv 2602.05027).
    Needs pip install 'whisper-steer[eeg]'.
    """
    import numpy as np

    from whisper_steer.errors import UsageError
    from whisper_steer.lab.eeg_plots import picture
    from whisper_steer.lab.eeg_run import Simulation, measure, recordings
    from whisper_steer.lab.encoders import open_encoder
    from whisper_steer.lab.findings import Findings
    from whisper_steer.lab.trf import import_mtrf
    from whisper_steer.sae.files import load

    import_mtrf()
    loaded, recorded = load(sae), recordings(source)
    encoder = open_encoder(model)
    if loaded.config.n_state != encoder.n_state:
        raise UsageError(
            f"{sae} is for activations of width {loaded.config.n_state}, those of {model} have "
            f"{encoder.n_state}: name its own model with --model"
        )
    simulation = Simulation(planted) if source == "simulated" else None
    found = measure(encoder, point, loaded, recorded, channel, latents, permutations, seed, simulation)
    test, names = found.test, [str(i) for i in found.latents]
    order = np.lexsort((-test.r, test.p))
    columns = ["latent", "r", "null mean", "p", "p Holm", "significant"]
    values: list[dict[str, Any]] = []
    rows = []
    for i in order:
        value: dict[str, Any] = {
            "latent": int(found.latents[i]),
            "r": float(test.r[i]),
            "null_mean": float(test.null_mean[i]),
            "p": float(test.p[i]),
            "p_holm": float(test.p_holm[i]),
            "significant": bool(test.found[i]),
        }
        row = [names[i], f"{test.r[i]:.4f}", f"{test.null_mean[i]:.4f}", f"{test.p[i]:.2g}"]
        row += [f"{test.p_holm[i]:.2g}", "yes" if test.found[i] else "no"]
        if found.likeness is not None:
            value |= {"planted": bool(found.planted[i]), "likeness": float(found.likeness[i])}
            row += ["yes" if found.planted[i] else "no", f"{found.likeness[i]:.2f}"]
        values.append(value)
        rows.append(row)
    if found.likeness is not None:
        columns += ["planted", "likest planted"]
    paper = "" if source in ("naplib", "simulated") else "; paper: 1-1.5%"
    about: dict[str, Any] = {
        "model": model, "point": point, "sae": sae.name, "eeg": source, **found.about,
        "significant": f"{test.found.sum()} of {len(names)} ({test.found.mean():.1%}{paper})",
    }  # fmt: skip
    best = {names[i]: found.kernels(int(i)) for i in order[:KERNELS]}
    shown = picture(names, test, found.null, best)
    Findings("eeg", about, columns, rows[:SHOWN], values, shown).show(out)
