"""Figures of the report as SVG text: the trade-off plane, and bars with intervals."""

from __future__ import annotations

import io
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLOURS = {
    "stock": "#6b7280", "audio": "#2563eb", "encoder": "#d97706", "decoder": "#7c3aed", "gate": "#059669",
    "text": "#db2777",
}  # fmt: skip
SPREAD = 10
"""the deleted words have a logarithmic axis where the systems differ by more than this factor"""


def tradeoff(results: dict[str, Any]) -> str | None:
    """F against D: a point with intervals for each system, a curve for each that has a threshold."""
    rows = {name: row for name, row in results["summary"]["tradeoff"].items() if row}
    if not rows:
        return None
    stages = {s["name"]: s["stage"] for s in results["systems"]}
    figure, axes = plt.subplots(figsize=(9, 6))
    for name, row in rows.items():
        colour = "#dc2626" if name.startswith("ours") else COLOURS[stages[name]]
        if row["curve"]:
            axes.plot(
                [p[1] for p in row["curve"]], [p[2] for p in row["curve"]], color=colour, alpha=0.35, lw=1
            )
        axes.errorbar(
            row["F"]["value"], row["D"]["value"], xerr=_reach(row["F"]), yerr=_reach(row["D"]),
            fmt="o", ms=5, color=colour, elinewidth=0.6, alpha=0.9,
        )  # fmt: skip
    for turn, (place, names) in enumerate(_places(rows)):
        axes.annotate(
            names, place, fontsize=7, xytext=(4, (3, -9, 13, -19)[turn % 4]), textcoords="offset points"
        )
    axes.set_xscale("symlog", linthresh=0.1)
    axes.set_xlim(left=-0.02)
    lost = [row["D"]["value"] for row in rows.values()]
    if max(lost) > SPREAD * min(lost):
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(bottom=-0.2)
    axes.set_xlabel("F: words invented per minute of non-speech")
    axes.set_ylabel("D: words deleted per minute of speech")
    axes.grid(alpha=0.2)
    handles = [Line2D([], [], color=c, marker="o", ls="", label=s) for s, c in COLOURS.items()]
    handles.append(Line2D([], [], color="#dc2626", marker="o", ls="", label="whisper-steer"))
    axes.legend(handles=handles, fontsize=8, title="stage", loc="best")
    return svg(figure)


def _places(rows: dict[str, dict[str, Any]]) -> list[tuple[tuple[float, float], str]]:
    """Points from left to right with one label each: systems that agree to two digits share theirs."""
    shared: dict[tuple[float, float], list[str]] = {}
    for name, row in rows.items():
        place = (float(f"{row['F']['value']:.2g}"), float(f"{row['D']['value']:.2g}"))
        shared.setdefault(place, []).append(name)
    labels = {}
    for place, names in sorted(shared.items()):
        names.sort(key=lambda name: not name.startswith("ours"))
        labels[place] = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    return list(labels.items())


def bars(title: str, rows: dict[str, dict[str, Any]]) -> str | None:
    """Horizontal bars of estimates in percent, with their intervals."""
    shown = [(name, estimate) for name, estimate in rows.items() if estimate["value"] is not None]
    if not shown:
        return None
    figure, axes = plt.subplots(figsize=(9, 0.9 + 0.26 * len(shown)))
    for i, (name, estimate) in enumerate(reversed(shown)):
        reach = _reach(estimate)
        scaled = None if reach is None else [[100 * reach[0][0]], [100 * reach[1][0]]]
        colour = "#dc2626" if name.startswith("ours") else "#6b7280"
        axes.barh(
            i, 100 * estimate["value"], xerr=scaled, color=colour, alpha=0.8, ecolor="#111827", capsize=2
        )
    axes.set_yticks(range(len(shown)), [name for name, _ in reversed(shown)], fontsize=8)
    axes.set_xlabel("%")
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(axis="x", alpha=0.2)
    return svg(figure)


def _reach(estimate: dict[str, Any]) -> list[list[float]] | None:
    if estimate["low"] is None or estimate["high"] is None:
        return None
    value = estimate["value"]
    return [[max(0.0, value - estimate["low"])], [max(0.0, estimate["high"] - value)]]


def svg(figure: Figure) -> str:
    """The figure as SVG text, without date, and closed."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "whisper-steer", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]
