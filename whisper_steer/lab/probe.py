"""``whisper-steer lab probe``: what linear probes read off activations and off latents."""

from __future__ import annotations

from pathlib import Path

import click

from whisper_steer.cli.lab import DEVICE, OUT
from whisper_steer.lab.inputs import (
    DATASET,
    MODEL,
    SEED,
    open_saes,
    points_of,
    read_data,
    shared,
    under_conditions,
)


def numbers(_: click.Context, option: click.Parameter, value: str | None) -> tuple[float, ...]:
    """Numbers with commas between them."""
    try:
        return tuple(float(part) for part in value.split(",")) if value else ()
    except ValueError:
        raise click.BadParameter("numbers with commas between them, as .5,.75,.9") from None


@click.command()
@shared(MODEL)
@click.option(
    "--sae",
    "saes",
    multiple=True,
    metavar="POINT=FILE",
    help="An SAE and the hook point it reads; repeatable.  [default: dense activations alone]",
)
@click.option(
    "--point",
    "points",
    multiple=True,
    metavar="POINT",
    help="Also dense activations here, as blocks.2, or all for every hook point; repeatable.",
)
@click.option("--data", multiple=True, help="KIND:PATH, as of whisper-steer benchmark; repeatable.")
@click.option("--classes", type=click.Path(path_type=Path), help="In place of --data: a folder per class.")
@click.option("--group-pattern", help="With --classes: regular expression that finds the group in a path.")
@click.option(
    "--label", default="label", show_default=True,
    type=click.Choice(["label", "text", "group", "language", "kind", "dataset", "condition"]),
    help="What the classes are.",
)  # fmt: skip
@click.option(
    "--condition",
    "conditions",
    multiple=True,
    help="With --data: speech alone, as it is and under a condition of whisper-steer benchmark, as snr:0; repeatable.",
)
@click.option("--only", multiple=True, help="A class to take; repeatable.  [default: all]")
@shared(DATASET)
@click.option("--per-class", type=click.IntRange(4), help="Clips of a class in each split, at most.")
@click.option("--leave-one-group-out", is_flag=True, help="Score every group by probes that never met it.")
@click.option(
    "--pool", type=click.Choice(["after", "before"]), default="after", show_default=True,
    help="Pool over time after the SAE (mean and maximum of the codes), or before it (mean).",
)  # fmt: skip
@click.option(
    "--sparsity", callback=numbers, help="Also codes with the top (1 - s) of the latents, as .75,.9,.99."
)
@shared(DEVICE, SEED, OUT)
def probe(
    model: str, saes: tuple[str, ...], points: tuple[str, ...], data: tuple[str, ...], classes: Path | None,
    group_pattern: str | None, label: str, conditions: tuple[str, ...], only: tuple[str, ...],
    datasets: tuple[str, ...], per_class: int | None, leave_one_group_out: bool, pool: str,
    sparsity: tuple[float, ...], device: str | None, seed: int, out: Path | None,
) -> None:  # fmt: skip
    """Fit linear probes of classes on dense activations and on latents, and score them on held-out groups."""
    import numpy as np

    from whisper_steer.lab.classes import folder_per_class, with_classes
    from whisper_steer.lab.findings import Findings
    from whisper_steer.lab.frames import frames_of
    from whisper_steer.lab.hold_out import hold_out
    from whisper_steer.lab.pooled import Pool, pooled_codes, pooled_dense
    from whisper_steer.lab.probing import COUNTS, Probed, plot, plot_by_point, probe_counts

    if bool(data) == (classes is not None):
        raise click.UsageError("pass either --data or --classes")
    if not saes and not points:
        raise click.UsageError("pass --sae POINT=FILE, or --point all for dense activations alone")
    if any(not 0 <= s < 1 for s in sparsity):
        raise click.UsageError("--sparsity is a share from 0 to below 1")
    found_clips = (
        under_conditions(read_data(data, datasets), conditions, seed) if classes is None
        else folder_per_class(classes, group_pattern)
    )  # fmt: skip
    clips, y = with_classes(found_clips, label, only, per_class, seed)
    rows, held = hold_out(clips, y, leave_one_group_out).used()
    y, clips = y[rows], [clips[i] for i in rows]
    encoder, found_saes = open_saes(model, saes, device)
    frames = frames_of(encoder, points_of(encoder, points, found_saes), clips)
    how: Pool = "before" if pool == "before" else "after"
    probed: list[Probed] = []
    for point, heard in frames.items():
        counts = COUNTS if point in found_saes else ()
        probed.append(probe_counts(point, "dense", pooled_dense(heard, how), y, held, counts))
        for each in found_saes.get(point, []):
            latents = f"latents{each.label.removeprefix(point)}"
            codes = pooled_codes(each.sae, heard, how)
            probed.append(probe_counts(point, f"{latents}, {codes.active:.0f} active", codes, y, held))
            for s in sparsity:
                codes = pooled_codes(each.sae, heard, how, s)
                what = f"{latents}, sparsity {s:g}: {codes.active:.0f} active"
                probed.append(probe_counts(point, what, codes, y, held, ()))
    n_classes = len(np.unique(y))
    scored = np.concatenate([score for _, score in held.folds])
    saturates = "; ".join(
        f"{each.point} {each.what} at {each.saturates}" for each in probed if len(each.counts) > 1
    )
    Findings(
        "probe",
        {
            "model": model, "data": " ".join(data) or str(classes), "classes": f"{n_classes} by {label}",
            "clips": f"{len(scored)} scored" if leave_one_group_out
            else f"{len(held.folds[0][0])} to fit, {len(scored)} scored", "held out": held.how,
            "pool": pool, "chance": f"{1 / n_classes:.3f}",
            **({"saturates": saturates} if saturates else {}),
        },
        ["point", "what", "units", "balanced accuracy", "95 %"],
        [
            [each.point, each.what, str(n), f"{score.value:.3f}", f"{score.low:.3f} to {score.high:.3f}"]
            for each in probed for n, score in zip(each.counts, each.scores, strict=True)
        ],
        [
            {"point": each.point, "what": each.what, "units": n, "balanced_accuracy": score.to_dict()}
            for each in probed for n, score in zip(each.counts, each.scores, strict=True)
        ],
        plot(probed, 1 / n_classes) if saes else plot_by_point(probed, 1 / n_classes),
    ).show(out)  # fmt: skip
