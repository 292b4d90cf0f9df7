"""``whisper-steer lab disentangle``: do latents stand for one acoustic factor each?"""

from __future__ import annotations

from pathlib import Path

import click

from whisper_steer.cli.lab import DATA, DEVICE, OUT
from whisper_steer.lab.inputs import DATASET, MODEL, SAES, SEED, open_saes, read_data, shared


@click.command()
@shared(MODEL, SAES, DATA, DATASET)
@click.option(
    "--kind", default="speech", show_default=True, type=click.Choice(["speech", "nonspeech"]),
    help="Clips to take.",
)  # fmt: skip
@click.option("--per-dataset", type=click.IntRange(1), help="Clips of a data set in each split, at most.")
@click.option(
    "--pool", type=click.Choice(["after", "before"]), default="after", show_default=True,
    help="Pool over time (mean) after the SAE or before it.",
)  # fmt: skip
@click.option(
    "--as-published", is_flag=True, help="Fit and score on the same clips, as arXiv 2509.24793 did."
)
@shared(DEVICE, SEED, OUT)
def disentangle(
    model: str, saes: tuple[str, ...], data: tuple[str, ...], datasets: tuple[str, ...], kind: str,
    per_dataset: int | None, pool: str, as_published: bool, device: str | None, seed: int, out: Path | None,
) -> None:  # fmt: skip
    """Measure disentanglement, completeness and informativeness of latents against eGeMAPS' acoustic factors."""
    import numpy as np

    from whisper_steer.data.splits import stratified
    from whisper_steer.lab.disentangling import Parted, defined, part, plot, sides
    from whisper_steer.lab.factors import acoustic_factors, family
    from whisper_steer.lab.findings import Findings
    from whisper_steer.lab.frames import frames_of
    from whisper_steer.lab.pooled import Pool, pooled_codes, pooled_dense

    found_clips = [clip for clip in read_data(data, datasets) if clip.kind == kind]
    clips = [
        clip
        for split in (["test"] if as_published else ["fit", "choose", "test"])
        for clip in stratified([c for c in found_clips if c.split == split], per_dataset, seed)
    ]
    rows = sides(clips, as_published)
    factors, names = acoustic_factors(clips)
    factors, names = defined(factors, names, rows)
    encoder, found_saes = open_saes(model, saes, device)
    frames = frames_of(encoder, list(found_saes), clips)
    how: Pool = "before" if pool == "before" else "after"
    parted: list[Parted] = []
    for point, placed in found_saes.items():
        dense = pooled_dense(frames[point], how, maxima=False).x
        for each in placed:
            latents = pooled_codes(each.sae, frames[point], how, maxima=False).x
            parted += part(each.label, {"dense": dense, "latents": latents}, factors, names, rows)
    table = []
    for a, b in zip(parted[::2], parted[1::2], strict=True):
        for j, name in enumerate(a.factors):
            table.append([
                a.point, name, family(name),
                *(f"{column[j]:.2f}" for column in (a.r2, b.r2, a.completeness, b.completeness)),
                *(f"{column[j]:.1f}" for column in (a.codes, b.codes)),
            ])  # fmt: skip
        means = [a.r2, b.r2, a.completeness, b.completeness, a.codes, b.codes]
        table.append([a.point, "mean", "", *(f"{np.nanmean(each):.2f}" for each in means)])
    Findings(
        "disentangle-as-published" if as_published else "disentangle",
        {
            "model": model, "data": " ".join(data),
            "clips": f"{len(clips)} of test, fitted and scored on" if as_published
            else f"{len(rows[0])} to fit, {len(rows[1])} to choose factors, {len(rows[2])} scored",
            "pool": pool, "factors": f"{len(names)} of eGeMAPSv02",
            "disentanglement": "; ".join(
                f"{each.point} {each.what} {each.disentanglement:.2f}" for each in parted
            ),
        },
        [
            "point", "factor", "of", "R2 dense", "R2 latents", "completeness dense", "completeness latents",
            "codes dense", "codes latents",
        ],
        table, [each.to_dict() for each in parted], plot(parted),
    ).show(out)  # fmt: skip
