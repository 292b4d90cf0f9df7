"""What the bench found, as Markdown: every method at its best under a price in WER, then every strength."""

from __future__ import annotations

from collections.abc import Sequence

from ..intervals import Estimate
from ..report import table
from .bench import STOCK
from .summary import FALSE_SPEECH, Point, best_at

PRICES = (0.002, 0.004)
"""added WER: 0.2 points, and the 0.4 that arXiv 2602.05027 paid"""


def markdown(points: Sequence[Point]) -> str:
    """Tables of each mode. Intervals are 95 %."""
    parts = []
    for mode in sorted({point.mode for point in points}):
        found = [point for point in points if point.mode == mode]
        parts += [f"## Mode {mode}", "", *_best(found), "", _all(found), ""]
    return "\n".join(parts)


def methods(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Points of each method by strength, without stock's."""
    grouped: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda p: p.strength):
        if point.name != STOCK.name:
            grouped.setdefault(point.group, []).append(point)
    return dict(sorted(grouped.items()))


def _best(points: Sequence[Point]) -> list[str]:
    """A table: what share of stock's false speech each method removes at no more than each price."""
    columns = [(figure, price) for figure in FALSE_SPEECH for price in PRICES]
    heads = [f"{figure}, WER +{100 * price:g} or less" for figure, price in columns]
    rows = []
    for name, found in methods(points).items():
        cells = []
        for figure, price in columns:
            best = best_at(found, figure, price)
            cells.append(f"{percent(best.removed[figure])} @{best.strength:g}" if best else "none")
        rows.append([name, *cells])
    return [
        "Share of stock's false speech removed, at the strength (@) that removes most at that price:",
        "",
        table(["method", *heads], rows),
    ]


def _all(points: Sequence[Point]) -> str:
    heads = [*FALSE_SPEECH, "WER", "added WER", "speech left empty"]
    rows = []
    for point in points:
        cells = [percent(point.figures[figure]) for figure in FALSE_SPEECH]
        cells += [percent(point.figures["wer"]), percent(point.changes["wer"], sign="+", digits=2)]
        cells.append(percent(point.figures["empty"]))
        rows.append([point.group, f"{point.strength:g}", *cells])
    return table(["method", "strength", *heads], rows)


def percent(estimate: Estimate, sign: str = "", digits: int = 1) -> str:
    """A share of 1 in per cent, with its interval."""
    value, low, high = (f"{100 * x:{sign}.{digits}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"
