"""``whisper-steer lab erase``: how many latents hold a concept, and what else goes with them."""

from __future__ import annotations

from pathlib import Path

import click

from whisper_steer.cli.lab import DATA, DEVICE, OUT
from whisper_steer.lab.inputs import DATASET, MODEL, SAES, SEED, open_saes, read_data, shared

FIELDS = click.Choice(["label", "text", "group", "language", "kind", "dataset"])
FALLS = (0.5, 0.1)
"""of the first Matthews correlation: half of the concept is gone; next to nothing is left"""


@click.command()
@shared(MODEL, SAES, DATA)
@click.option(
    "--label", default="label", show_default=True, type=FIELDS, help="What the concept is a class of."
)
@click.option("--concept", required=True, help="The class to erase, as speech with --label kind.")
@click.option("--beside", "besides", multiple=True, type=FIELDS, help="More classes to keep; repeatable.")
@shared(DATASET)
@click.option("--per-class", type=click.IntRange(4), help="Clips of a class in each split, at most.")
@click.option(
    "--frames", "per_clip", type=click.IntRange(1), help="Single frames, so many of a clip.  [default: clips]"
)
@click.option("--leave-one-group-out", is_flag=True, help="Score every group by probes that never met it.")
@shared(DEVICE, SEED, OUT)
def erase(
    model: str, saes: tuple[str, ...], data: tuple[str, ...], label: str, concept: str, besides: tuple[str, ...],
    datasets: tuple[str, ...], per_class: int | None, per_clip: int | None, leave_one_group_out: bool,
    device: str | None, seed: int, out: Path | None,
) -> None:  # fmt: skip
    """Remove n latents for a concept, fit new probes on what is left, and say what they find of it and of others."""
    import numpy as np

    from whisper_steer.lab.classes import with_classes
    from whisper_steer.lab.concepts import beside, on_frames, one_against_rest, sampled_frames, taking_part
    from whisper_steer.lab.erasing import OF_LATENTS, REMOVERS, erase_concept, falls, plot
    from whisper_steer.lab.findings import Findings
    from whisper_steer.lab.frames import frames_of
    from whisper_steer.lab.pooled import frame_codes, pooled_codes, pooled_dense

    clips, _ = with_classes(read_data(data, datasets), label, (), per_class, seed)
    target = one_against_rest(clips, label, concept, leave_one_group_out)
    fields = [(label, concept), *((field, None) for field in besides)]
    others = [found for field, name in fields if (found := beside(clips, field, leave_one_group_out, name))]
    rows, (target, *others) = taking_part([target, *others])
    clips = [clips[i] for i in rows]
    encoder, found_saes = open_saes(model, saes, device)
    frames = frames_of(encoder, list(found_saes), clips)
    table, values, curves, firing = [], [], {}, []
    for point, placed in found_saes.items():
        heard = frames[point]
        if per_clip is None:
            dense = pooled_dense(heard, maxima=False).x
            there, kept = target, others
        else:
            places = sampled_frames(heard, per_clip, seed)
            dense = heard.hidden[places].astype("float32")
            there, *kept = (on_frames(each, heard.clip[places]) for each in (target, *others))
        removers: tuple[str, ...] = REMOVERS
        for each in placed:
            codes = (
                pooled_codes(each.sae, heard, maxima=False) if per_clip is None
                else frame_codes(each.sae, dense)
            )  # fmt: skip
            firing.append(f"{each.label} {np.unique(codes.x.nonzero()[1]).size} of {codes.n_units}")
            curves[each.label] = erase_concept(codes, dense, there, kept, seed, removers)
            removers = OF_LATENTS  # directions in the activations are the same for every SAE
            for curve in curves[each.label]:
                table.append([each.label, *falls(curve, FALLS)])
                values.append({"point": each.label, **curve.to_dict()})
    Findings(
        "erase-" + concept.replace("/", "-"),
        {
            "model": model, "data": " ".join(data), "concept": f"{label} {concept}",
            "others": ", ".join(each.name for each in others) or "none",
            "of": "clips (means over time)" if per_clip is None else f"{per_clip} frames of a clip",
            "clips": len(clips), "held out": target.held.how,
            "latents that fire": ", ".join(firing), "seed": seed,
        },
        [
            "point", "removed", "probe", "MCC before (95 %)", "n to half (share)", "others left",
            "n to a tenth (share)", "others left",
        ],
        table, values, plot(curves),
    ).show(out)  # fmt: skip
