"""What a training writes down: a JSONL log, a row for each SAE and look, and its plot."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib import pyplot as plt

from whisper_steer.eval.plots import svg
from whisper_steer.files.disk import write_whole
from whisper_steer.files.output import finite
from whisper_steer.sae.train import Rows

LOG, PLOT = "log.jsonl", "log.svg"
SHOWN = {
    "explained_variance": "explained variance",
    "l0": "latents per frame",
    "dead": "share of dead latents",
    "loss_recovered": "loss recovered at the end",
}


def write_log(folder: Path, rows: Rows) -> None:
    """All rows, one JSON object a line."""
    write_whole(folder / LOG, "".join(json.dumps(finite(row)) + "\n" for row in rows))


def plot(rows: Rows) -> str:
    """Lines over the steps for each SAE, and bars of the loss recovered where it was measured."""
    names = list(dict.fromkeys(row["sae"] for row in rows))
    shown = [key for key in SHOWN if any(key in row for row in rows)]
    figure, axes = plt.subplots(1, len(shown), figsize=(4.2 * len(shown), 3.6), squeeze=False)
    for panel, key in zip(axes[0], shown, strict=True):
        for i, name in enumerate(names):
            found = [(row["step"], row[key]) for row in rows if row["sae"] == name and key in row]
            if key == "loss_recovered":
                panel.barh(i, found[-1][1] if found else 0.0, color=f"C{i % 10}")
            else:
                panel.plot(*zip(*found, strict=True), marker="o", ms=3, color=f"C{i % 10}", label=name)
        panel.set_title(SHOWN[key], fontsize=10, loc="left")
        panel.grid(alpha=0.2)
        if key == "loss_recovered":
            panel.set_yticks(range(len(names)), names, fontsize=7)
        else:
            panel.set_xlabel("step")
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    return svg(figure)
