"""``whisper-steer lab synthetic``: how many known features SAEs of each kind, and controls, recover."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from whisper_steer.cli.lab import DEVICE, OUT
from whisper_steer.sae.plan import CONTROLS, KINDS, Kind, Plan

if TYPE_CHECKING:
    from torch import Tensor

    from whisper_steer.lab.known import KnownFeatures, Probabilities
    from whisper_steer.sae.stack import Stack

PROBABILITIES: tuple[Probabilities, ...] = ("log-uniform", "constant")
ACTIVE = 20
"""latents of an SAE, as features of the data"""
HELD_OUT = 8
"""batches of 1,000, behind all those of training"""
SAMPLE = 10
"""batches of training from which means and covariances are taken"""
PUBLISHED = {
    ("batch-topk", "log-uniform"): "9 %", ("topk", "log-uniform"): "43 %", ("topk", "constant"): "99.9 %",
}  # fmt: skip
"""share of features recovered in arXiv 2602.14111; its Batch-Top-K explains 71 % of the variance"""


@click.command()
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="[default: all]")
@click.option(
    "--control", "controls", multiple=True, type=click.Choice((*CONTROLS, "none")),
    help="Beside the trained SAE.  [default: all]",
)  # fmt: skip
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
    controls: tuple[str, ...],
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
    explained, and the share of features to which a decoder direction has a cosine above 0.8. The trainer is that of
    whisper-steer sae train, controls and inputs of unit norm included.
    """
    import torch

    from whisper_steer.lab.findings import Findings
    from whisper_steer.lab.known import known_features

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    values = []
    for probability in probabilities or PROBABILITIES:
        known = known_features(probability, seed=seed, device=device)
        for kind in kinds or get_args(Kind):
            plan = Plan(
                kind, ACTIVE, len(known.directions) // known.directions.shape[1], steps, batch, learning_rate,
                seed=seed,
            )  # fmt: skip
            beside = [each for each in controls or CONTROLS if each != "none"]
            for control, found in measured(plan, beside, known).items():
                paper = "" if control else PUBLISHED.get((kind, probability), "")
                values.append(
                    {
                        "probability": probability,
                        "kind": kind,
                        "control": control or "trained",
                        **found,
                        "paper": paper,
                    }
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


@dataclass(frozen=True)
class Sums:
    """Rows of known features, as a source of `whisper_steer.sae.train.train`."""

    known: KnownFeatures
    size: int

    def batch_at(self, step: int) -> Tensor:
        """(1, size, n) float32."""
        return self.known.batch(self.size, step)[None]

    def sample(self) -> Tensor:
        """(1, SAMPLE * size, n) float32."""
        import torch

        return torch.cat([self.batch_at(step) for step in range(SAMPLE)], dim=1)


def measured(plan: Plan, controls: Sequence[str], known: KnownFeatures) -> dict[str | None, dict[str, Any]]:
    """An SAE and its controls, trained together and measured on rows that they were not trained on."""
    from whisper_steer.sae.stack import Member, Stack
    from whisper_steer.sae.train import train

    source = Sums(known, plan.batch)
    members = [Member("sums", control) for control in (None, *controls)]
    stack = Stack(plan, ["sums"], members, source.sample())
    train(stack, source)
    return {member.control: _recovered(stack, i, known) for i, member in enumerate(members)}


def _recovered(stack: Stack, index: int, known: KnownFeatures) -> dict[str, Any]:
    import torch

    from whisper_steer.lab.known import recovery
    from whisper_steer.sae.train import quality_in

    held = torch.cat([known.batch(1000, stack.plan.steps + i) for i in range(HELD_OUT)])
    quality = quality_in(stack, index, held)
    found = recovery(stack.W_dec[index].detach(), known)
    return {
        "explained_variance": quality.explained_variance,
        "active": quality.mean_active,
        "dead": quality.dead,
        "recovered": found.share,
        "recovered_of_activity": found.of_activity,
        "cosine": found.cosine,
    }


def plot(values: list[dict[str, Any]]) -> str:
    """Share recovered against variance explained: what the paper warns of is a point low and to the right."""
    from matplotlib import pyplot as plt

    from whisper_steer.eval.plots import svg

    colours = dict(zip(("trained", *CONTROLS), ("#dc2626", "#d97706", "#2563eb", "#6b7280"), strict=True))
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
