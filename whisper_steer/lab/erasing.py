"""How many latents hold a concept: some are removed, a new probe is fitted on what is left, and scored held out.

AudioSAE (arXiv 2602.05027) removes the latents of the highest Fisher score for a vowel and measures by Matthews
correlation what a probe still finds of it and of other vowels: 19 to 27 % of the latents have to go. How many depends
on the probe's L2 penalty, so both are measured. Controls: random latents, and directions projected out of the dense
activations: principal components (ranked by their Fisher score as well) and random ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from tqdm import tqdm

from whisper_steer.eval.intervals import Estimate
from whisper_steer.eval.plots import svg
from whisper_steer.lab.concepts import Concept
from whisper_steer.lab.fisher import Matrix, fisher_score
from whisper_steer.lab.linear import fit_probe, matthews
from whisper_steer.lab.pooled import Features

SHARES = (0.0, 0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""of the width of a representation that are removed"""
OF_LATENTS = ("latents", "random latents")
REMOVERS = (*OF_LATENTS, "PCA directions", "random directions")


@dataclass
class Erased:
    """One way of removing under one kind of probe: what is left of the concept and of others, n rising."""

    remover: str
    l2: bool
    width: int
    """latents or dimensions that there are"""
    removed: list[int]
    left: list[Estimate] = field(default_factory=list)
    """Matthews correlation of the concept"""
    others: dict[str, list[Estimate]] = field(default_factory=dict)
    """of the other concepts, by name"""

    def falls_to(self, share: float) -> int | None:
        """Place in ``removed`` of the first n at which the concept's correlation is at most ``share`` of what it was;
        None where it never is."""
        limit = share * self.left[0].value
        return next((i for i, each in enumerate(self.left) if each.value <= limit), None)

    def share_of_others(self, i: int) -> float:
        """Mean over the other concepts of their correlation at place ``i`` over that at the start."""
        kept = [found[i].value / found[0].value for found in self.others.values() if found[0].value > 0]
        return float(np.mean(kept)) if kept else float("nan")

    def to_dict(self) -> dict[str, Any]:
        return {
            "removed_by": self.remover, "l2": self.l2, "width": self.width, "removed": self.removed,
            "left": [each.to_dict() for each in self.left],
            "others": {name: [each.to_dict() for each in found] for name, found in self.others.items()},
        }  # fmt: skip


def erase_concept(
    codes: Features, dense: np.ndarray, concept: Concept, others: list[Concept], seed: int = 0,
    removers: Sequence[str] = REMOVERS,
) -> list[Erased]:  # fmt: skip
    """Removers under both kinds of probe. ``codes`` and ``dense`` (n, n_state) are of the same examples.

    Ranked for the concept on half of what a fold is fitted on (`ranking_half`), in each fold; where other concepts
    have other folds, on the first.
    """
    found = []
    steps = [(remover, l2) for remover in removers for l2 in (True, False)]
    for remover, l2 in tqdm(steps, desc="removing", unit="curve"):
        width = codes.n_units if "latents" in remover else dense.shape[1]
        removed = sorted({round(share * width) for share in SHARES})
        each = Erased(remover, l2, width, removed)
        each.left = _curve(remover, codes, dense, concept, concept, removed, l2, seed)
        for other in others:
            each.others[other.name] = _curve(remover, codes, dense, concept, other, removed, l2, seed)
        found.append(each)
    return found


def _curve(
    remover: str, codes: Features, dense: np.ndarray, concept: Concept, measured: Concept, removed: list[int],
    l2: bool, seed: int,
) -> list[Estimate]:  # fmt: skip
    """Matthews correlation of what is measured, for each n."""
    predicted: list[list[np.ndarray]] = [[] for _ in removed]
    same = len(concept.held.folds) == len(measured.held.folds)
    for number, (fit, score) in enumerate(measured.held.folds):
        ranked_on = ranking_half(concept, number if same else 0)
        rows = np.setdiff1d(fit, ranked_on)
        representations = _without(remover, codes, dense, ranked_on, concept.y[ranked_on], removed, seed)
        for i, x in enumerate(representations):
            predicted[i].append(fit_probe(x[rows], measured.y[rows], l2).predict(x[score]))
    scored = np.concatenate([score for _, score in measured.held.folds])
    return [
        matthews(measured.y[scored], np.concatenate(each), measured.held.units[scored]) for each in predicted
    ]


def ranking_half(concept: Concept, fold: int) -> np.ndarray:
    """The rows of half of the groups (or clips) that a fold is fitted on: latents are ranked on these and principal
    directions are theirs; probes are fitted on the others.

    On the same rows a probe is fooled: what is left is uncorrelated there with the directions removed, so that it
    learns the reverse of the concept, and held-out correlations fall below 0.
    """
    fit = concept.held.folds[fold][0]
    units, y = concept.held.units[fit], concept.y[fit]
    halves: set[str] = set()
    placed: set[str] = set()
    for name in sorted(set(y), key=lambda name: int((y == name).sum())):  # the rarest class first
        names = sorted(
            set(units[y == name]) - placed, key=lambda unit: hashlib.sha256(unit.encode()).digest()
        )
        halves |= set(names[::2])
        placed |= set(names)
    return fit[np.isin(units, list(halves))]


def _without(
    remover: str, codes: Features, dense: np.ndarray, rows: np.ndarray, y: np.ndarray, removed: list[int], seed: int
) -> Iterator[Matrix]:  # fmt: skip
    """The representation of all examples without the first n latents or directions, for each n.

    A latent set to 0 tells a probe as much as one that is not there.
    """
    rng = np.random.default_rng(seed)
    if remover in ("latents", "random latents"):
        order = codes.ranked(rows, y) if remover == "latents" else rng.permutation(codes.n_units)
        for n in removed:
            yield codes.take(np.sort(order[n:]))
        return
    if remover == "PCA directions":
        directions = principal(dense[rows], y)
    else:
        directions = np.linalg.qr(rng.standard_normal((dense.shape[1], dense.shape[1])))[0].T
    for n in removed:
        yield project_out(dense, directions[:n])


def principal(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Principal directions of x (n, d), those whose projections part the classes best first: (d, d), orthonormal."""
    centred = x - x.mean(axis=0)
    directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))[1].T
    score = fisher_score(centred @ directions.T, y)
    return np.asarray(directions[np.argsort(-score, kind="stable")])


def project_out(x: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """x (n, d) without what lies along orthonormal directions (k, d): x - x D^T D."""
    return np.asarray(x - (x @ directions.T) @ directions, dtype=np.float32)


def falls(found: Erased, shares: Sequence[float]) -> list[str]:
    """A row of the table: where the concept's correlation falls to each share of what it was, and what others keep."""
    start = found.left[0]
    row = [found.remover, "L2" if found.l2 else "no penalty"]
    row.append(f"{start.value:.2f} ({start.low:.2f} to {start.high:.2f})")
    for share in shares:
        i = found.falls_to(share)
        if i is None:
            row += ["never", "-"]
            continue
        kept = found.share_of_others(i)
        row.append(f"{found.removed[i]} ({found.removed[i] / found.width:.1%})")
        row.append("-" if np.isnan(kept) else f"{kept:.0%}")
    return row


def plot(curves: Mapping[str, Sequence[Erased]]) -> str:
    """What is left of the concept (lines) and of others (dotted) against the share removed; a panel for each hook
    point and kind of probe."""
    panels = [(point, l2) for point in curves for l2 in (True, False)]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(1.5 + 3.4 * len(panels), 3.4), sharey=True, squeeze=False
    )
    for each, (point, l2) in zip(axes[0], panels, strict=True):
        for found in curves[point]:
            if found.l2 != l2:
                continue
            share = np.array(found.removed) / found.width
            line = each.plot(share, [left.value for left in found.left], lw=1.2, label=found.remover)[0]
            for kept in found.others.values():
                each.plot(share, [left.value for left in kept], ":", lw=1, color=line.get_color())
        each.set_title(f"{point}, {'L2' if l2 else 'no penalty'}", fontsize=10)
        each.set_xlabel("share removed")
        each.grid(alpha=0.2)
    axes[0][0].set_ylabel("Matthews correlation left (dotted: of others)")
    axes[0][-1].legend(fontsize=8)
    return svg(figure)
