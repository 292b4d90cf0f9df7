"""``whisper-steer lab synthetic``: how many known features SAEs of each kind, and controls, recover."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whisper_steer.cli.lab import DEVICE, OUT

if TYPE_CHECKING:
    from whisper_steer.lab.known import KnownFeatures, Probabilities
    from whisper_steer.lab.learners import Control, Kind, Learned, Plan

KINDS: tuple[Kind, ...] = ("batch-topk", "topk", "relu", "jumprelu")
CONTROLS: tuple[Control, ...] = ("trained", "soft-frozen decoder", "frozen decoder", "frozen encoder")
PROBABILITIES: tuple[Probabilities, ...] = ("log-uniform", "constant")
HELD_OUT = 8
"""batches of 1,000, behind all those of training"""
PUBLISHED = {
    ("batch-topk", "log-uniform"): "9 %", ("topk", "log-uniform"): "43 %", ("topk", "constant"): "99.9 %",
}  # fmt: skip
"""share of features recovered in arXiv 2602.14111; its Batch-Top-K explains 71 % of the variance"""


@click.command()
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="[default: all]")
@click.option("--control", "controls", multiple=True, type=click.Choice(CONTROLS), help="[default: all]")
@click.option(
    "--probability", "probabilities", multiple=True, type=click.Choice(PROBABILITIES),
    help="How often a feature is active: each its own, or all the same.  [default: both]",
)  # fmt: skip
@click.option("--steps", type=click.IntRange(1), default=20_000, show_default=True, help="Of training.")
@click.option("--batch", type=click.IntRange(1), default=1024, show_default=True, help="Rows in a step.")
@click.option("--learning-rate", type=float, default=1e-3, show_default=True, help="The highest.")
@click.option("--seed", type=int, default=0, show_default=True)
@DEVICE
@OUT
def synthetic(
    kinds: tuple[Kind, ...],
    controls: tuple[Control, ...],
    probabilities: tuple[Probabilities, ...],
    steps: int,
    batch: int,
    learning_rate: float,
    seed: int,
    device: str | None,
    out: Path | None,
) -> None:
    """Train SAEs on sums of 3,200 known features and count those that they recover (arXiv 2602.14111).

    Features are unit vectors of 100 dimensions, 20 of them active at a time. Printed beside each other: variance
    explained, and the share of features to which a decoder direction has a cosine above 0.8. Controls have the same
    initial draws, data in the same order, schedule and auxiliary loss as the trained SAE of their kind.
    """
    import torch

    from whisper_steer.lab.findings import Findings
    from whisper_steer.lab.known import known_features
    from whisper_steer.lab.learners import Plan

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    plan = Plan(steps, batch, learning_rate=learning_rate, seed=seed)
    values = []
    for probability in probabilities or PROBABILITIES:
        known = known_features(probability, seed=seed, device=device)
        for kind in kinds or KINDS:
            for control in controls or CONTROLS:
                found = measured(kind, control, known, plan)
                paper = PUBLISHED.get((kind, probability), "") if control == "trained" else ""
                values.append(
                    {"probability": probability, "kind": kind, "control": control, **found, "paper": paper}
                )
    about = {"steps": steps, "batch": batch, "learning rate": learning_rate, "seed": seed, "device": device}
    rows = [
        [
            v["probability"], v["kind"], v["control"], f"{v['explained_variance']:.3f}", f"{v['active']:.1f}",
            f"{v['dead']:.1%}", f"{v['recovered']:.1%}", f"{v['recovered_of_activity']:.1%}",
            f"{v['cosine']:.2f}", v["paper"],
        ]
        for v in values
    ]  # fmt: skip
    columns = [
        "probability", "kind", "control", "explained variance", "L0", "dead", "features recovered",
        "of activity", "mean best cosine", "paper: recovered",
    ]  # fmt: skip
    Findings("synthetic", about, columns, rows, values, plot(values)).show(out)


def measured(kind: Kind, control: Control, known: KnownFeatures, plan: Plan) -> dict[str, Any]:
    """One dictionary, trained and measured on rows that it was not trained on."""
    import torch

    from whisper_steer.lab.known import recovery

    learned = trained(kind, control, known, plan)
    batches = [known.batch(1000, plan.steps + i) for i in range(HELD_OUT)]
    mean = sum(x.sum(dim=0) for x in batches) / (1000 * HELD_OUT)
    left = total = active = 0.0
    ever = torch.zeros(plan.latents, dtype=torch.bool, device=known.directions.device)
    for x in batches:
        z = learned.encode(x)
        left += float((x - learned.decode(z)).square().sum())
        total += float((x - mean).square().sum())
        active += float((z > 0).sum())
        ever |= (z > 0).any(dim=0)
    found = recovery(learned.W_dec, known)
    return {
        "explained_variance": 1 - left / total,
        "active": active / (1000 * HELD_OUT),
        "dead": 1 - float(ever.float().mean()),
        "recovered": found.share,
        "recovered_of_activity": found.of_activity,
        "cosine": found.cosine,
    }


def trained(kind: Kind, control: Control, known: KnownFeatures, plan: Plan) -> Learned:
    """The one place at which this command meets a trainer: batches in, a dictionary with its encoder out."""
    from whisper_steer.lab.learners import learn

    return learn(kind, control, lambda step: known.batch(plan.batch, step), plan)


def plot(values: list[dict[str, Any]]) -> str:
    """Share recovered against variance explained: what the paper warns of is a point low and to the right."""
    from matplotlib import pyplot as plt

    from whisper_steer.eval.plots import svg

    colours = dict(zip(CONTROLS, ("#dc2626", "#d97706", "#2563eb", "#6b7280"), strict=True))
    marks = dict(zip(KINDS, "osD^", strict=True))
    shown = [p for p in PROBABILITIES if any(v["probability"] == p for v in values)]
    figure, axes = plt.subplots(1, len(shown), figsize=(5 * len(shown), 4), squeeze=False, sharey=True)
    for axis, probability in zip(axes[0], shown, strict=True):
        for v in values:
            if v["probability"] == probability:
                axis.plot(
                    v["explained_variance"], 100 * v["recovered"], marks[v["kind"]], ls="",
                    color=colours[v["control"]], label=f"{v['kind']}, {v['control']}",
                )  # fmt: skip
        axis.set_title(f"probabilities: {probability}", fontsize=10, loc="left")
        axis.set_xlabel("explained variance")
        axis.grid(alpha=0.2)
        axis.legend(fontsize=7)
    axes[0][0].set_ylabel("% of features recovered")
    axes[0][0].set_ylim(-3, 103)
    return svg(figure)
