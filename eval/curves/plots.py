"""The curves: false speech against added WER, a line for each method, as SVG."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from ..plots import svg
from .bench import STOCK
from .report import methods
from .summary import FALSE_SPEECH, Point

BARS = ((0.4, 0.7), (0.2, 0.9))
"""(points of WER added, share of stock's false speech removed): inside of a rectangle a bar is met"""
LINEAR = 0.5
"""points of WER up to which the axis is linear, logarithmic beyond"""


def curves(points: Sequence[Point], figure: str) -> str:
    """``figure``, one of FALSE_SPEECH, against added WER. Points are of one mode; each line starts at stock."""
    stock = next(point for point in points if point.name == STOCK.name)
    start = 100 * stock.figures[figure].value
    picture, axes = plt.subplots(figsize=(9, 6))
    colours = plt.get_cmap("tab20").colors  # type: ignore[attr-defined]
    reach = 1.0
    for i, (name, found) in enumerate(methods(points).items()):
        x = [0.0, *(100 * point.changes["wer"].value for point in found)]
        y = [start, *(100 * point.figures[figure].value for point in found)]
        reach = max(reach, *x)
        marker = "os^Dvx"[i // len(colours) % 6]
        axes.plot(x, y, marker=marker, ms=4, lw=1, color=colours[i % len(colours)], label=name)
        axes.errorbar(
            x[1:], y[1:], yerr=_reach(found, figure), fmt="none", elinewidth=0.5, color=colours[i % len(colours)]
        )  # fmt: skip
    for added, share in BARS:
        axes.add_patch(
            Rectangle((-1.0, 0.0), added + 1.0, (1 - share) * start, color="#059669", alpha=0.15, lw=0)
        )
    axes.plot([0.0], [start], marker="*", ms=12, color="black", ls="", label="stock")
    axes.set_xscale("symlog", linthresh=LINEAR)
    axes.set_xlim(-1.0, 1.2 * reach)
    axes.set_ylim(bottom=-1.0)
    axes.set_xlabel("points of WER added to stock's")
    axes.set_ylabel(f"% of non-speech clips: {FALSE_SPEECH[figure].partition('(')[0].strip()}")
    axes.set_title(f"{figure}, mode {stock.mode}", fontsize=10, loc="left")
    axes.grid(alpha=0.2)
    axes.legend(fontsize=7, ncols=2)
    return svg(picture)


def _reach(found: Sequence[Point], figure: str) -> list[list[float]]:
    estimates = [point.figures[figure] for point in found]
    return [
        [100 * max(0.0, e.value - e.low) for e in estimates],
        [100 * max(0.0, e.high - e.value) for e in estimates],
    ]
