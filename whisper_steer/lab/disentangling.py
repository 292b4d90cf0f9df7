"""Latents beside dense activations in how well they part acoustic factors: the table and the plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError
from whisper_steer.eval.plots import svg
from whisper_steer.lab.dci import completeness, disentanglement, measure

TOP = 10
"""factors that are reported, by R2"""
LEAST = 10
"""clips on each side"""


def sides(clips: Sequence[Clip], as_published: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows to fit on, to choose factors on and to report, by split, no group in two of them; ``as_published`` takes
    `test` for all three. Raises `DataError` where one is too small."""
    split, group = np.array([c.split for c in clips]), np.array([c.group for c in clips])
    test = split == "test"
    choose = (split == "choose") & ~np.isin(group, group[test])
    fit = (split == "fit") & ~np.isin(group, group[test | choose])
    found = [test, test, test] if as_published else [fit, choose, test]
    for name, rows in zip(("fit", "choose", "test"), found, strict=True):
        if rows.sum() < LEAST:
            raise DataError(
                f"{rows.sum()} clips of split {name} have a group of their own, {LEAST} are needed: pass more --data"
            )
    return np.flatnonzero(found[0]), np.flatnonzero(found[1]), np.flatnonzero(found[2])


@dataclass
class Parted:
    """One representation at one hook point; all arrays are of the factors reported."""

    point: str
    what: str
    factors: list[str]
    r2: np.ndarray
    completeness: np.ndarray
    codes: np.ndarray
    """how many codes serve a factor"""
    disentanglement: float

    def to_dict(self) -> dict[str, Any]:
        return {
            "point": self.point, "what": self.what, "factors": self.factors, "r2": self.r2.tolist(),
            "completeness": self.completeness.tolist(), "codes": self.codes.tolist(),
            "disentanglement": self.disentanglement,
        }  # fmt: skip


def part(
    point: str, representations: dict[str, np.ndarray], factors: np.ndarray, names: Sequence[str],
    rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> list[Parted]:  # fmt: skip
    """Each of the representations (n, width) on the `TOP` factors that they explain best on average; ``factors``
    (n, n_factors) with ``names``, ``rows`` as of `sides`."""
    found = {what: measure(x, factors, *rows) for what, x in representations.items()}
    best = np.argsort(-np.mean([each.chosen_by for each in found.values()], axis=0))[:TOP]
    return [
        Parted(
            point, what, [names[int(j)] for j in best], each.informativeness[best],
            completeness(each.importance[:, best]), each.effective_codes()[best],
            disentanglement(each.importance[:, best])[1],
        )
        for what, each in found.items()
    ]  # fmt: skip


def defined(
    factors: np.ndarray, names: Sequence[str], rows: Sequence[np.ndarray]
) -> tuple[np.ndarray, list[str]]:
    """The factors that are known of every clip and vary on all sides."""
    kept = np.isfinite(factors).all(axis=0)
    for side in rows:
        kept &= factors[side].std(axis=0) > 1e-9
    return factors[:, kept], [name for name, there in zip(names, kept, strict=True) if there]


def plot(found: Sequence[Parted]) -> str:
    """Completeness against R2 of every factor, a panel for each hook point."""
    points = list(dict.fromkeys(each.point for each in found))
    figure, panels = plt.subplots(
        1, len(points), figsize=(1.5 + 3.6 * len(points), 3.6), sharey=True, squeeze=False
    )
    for axes, point in zip(panels[0], points, strict=True):
        for each in found:
            if each.point == point:
                axes.plot(each.r2, each.completeness, "o", ms=5, alpha=0.7, label=each.what)
        axes.set_title(point, fontsize=10)
        axes.set_xlabel("R2")
        axes.grid(alpha=0.2)
    panels[0][0].set_ylabel("completeness")
    panels[0][-1].legend(fontsize=8)
    return svg(figure)
