"""Linear probes on the best n units of a representation, n swept, scored on held-out groups.

AudioSAE (arXiv 2602.05027) probes the n latents of the highest Fisher score: with two classes scores saturate at 10
to 150 latents, with more at 500 to 3,000. arXiv 2509.24793 probes codes at one sparsity after another: up to 75 to
85 % they do as well as dense activations, and fail at 99 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt

from whisper_steer.eval.intervals import Estimate
from whisper_steer.eval.plots import svg
from whisper_steer.lab.hold_out import HoldOut
from whisper_steer.lab.linear import balanced_accuracy, fit_probe
from whisper_steer.lab.pooled import Features

COUNTS = (1, 10, 50, 150, 500, 1000, 3000)
WITHIN = 0.02
"""of the best score: where a sweep counts as saturated"""


@dataclass
class Probed:
    """A representation at one hook point under probes."""

    point: str
    what: str
    """dense, latents, or latents at a sparsity"""
    counts: list[int]
    """units that the probes saw, rising; the last is all of them"""
    scores: list[Estimate]
    """balanced accuracy"""

    @property
    def saturates(self) -> int:
        """The smallest count that is within `WITHIN` of the best."""
        best = max(score.value for score in self.scores)
        return next(
            n for n, score in zip(self.counts, self.scores, strict=True) if score.value >= best - WITHIN
        )


def probe_counts(
    point: str, what: str, features: Features, y: np.ndarray, held: HoldOut, counts: Sequence[int] = COUNTS
) -> Probed:
    """Probes on the best units by Fisher score, ranked inside each fold on what is fitted on, and on all of them.

    ``y`` (n,) classes of the rows of ``features``.
    """
    used = sorted({n for n in counts if n < features.n_units} | {features.n_units})
    predicted: dict[int, list[np.ndarray]] = {n: [] for n in used}
    for fit, score in held.folds:
        order = features.ranked(fit, y[fit])
        for n in used:
            x = features.take(np.sort(order[:n]))
            predicted[n].append(fit_probe(x[fit], y[fit]).predict(x[score]))
    scored = np.concatenate([score for _, score in held.folds])
    scores = [balanced_accuracy(y[scored], np.concatenate(predicted[n]), held.units[scored]) for n in used]
    return Probed(point, what, used, scores)


def plot(found: Sequence[Probed], chance: float) -> str:
    """Balanced accuracy against the number of units, a panel for each hook point."""
    points = list(dict.fromkeys(each.point for each in found))
    figure, panels = plt.subplots(
        1, len(points), figsize=(1.5 + 3.6 * len(points), 3.4), sharey=True, squeeze=False
    )
    for axes, point in zip(panels[0], points, strict=True):
        for each in found:
            if each.point != point:
                continue
            values = np.array([[s.value, s.low, s.high] for s in each.scores])
            line = axes.plot(each.counts, values[:, 0], "o-", ms=3, lw=1, label=each.what)[0]
            axes.fill_between(each.counts, values[:, 1], values[:, 2], color=line.get_color(), alpha=0.12)
        axes.axhline(chance, color="#6b7280", ls=":", lw=1)
        axes.set_xscale("log")
        axes.set_title(point, fontsize=10)
        axes.set_xlabel("units that the probe sees")
        axes.grid(alpha=0.2)
    panels[0][0].set_ylabel("balanced accuracy, held out")
    panels[0][-1].legend(fontsize=8)
    return svg(figure)


def plot_by_point(found: Sequence[Probed], chance: float) -> str:
    """Balanced accuracy of probes on all units, hook point by hook point."""
    figure, axes = plt.subplots(figsize=(1.5 + 0.7 * len(found), 3.4))
    values = np.array([[each.scores[-1].value, each.scores[-1].low, each.scores[-1].high] for each in found])
    places = np.arange(len(found))
    line = axes.plot(places, values[:, 0], "o-", ms=3, lw=1)[0]
    axes.fill_between(places, values[:, 1], values[:, 2], color=line.get_color(), alpha=0.12)
    axes.axhline(chance, color="#6b7280", ls=":", lw=1)
    axes.set_xticks(places, [each.point for each in found], rotation=45)
    axes.set_ylabel("balanced accuracy, held out")
    axes.grid(alpha=0.2)
    return svg(figure)
