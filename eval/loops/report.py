"""Tables on loops: what was found, and what each way mends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from whisper_steer.data.normalize import normalize
from whisper_steer.eval.intervals import Estimate, bootstrap, group_sums, ratio
from whisper_steer.eval.metrics import word_counts
from whisper_steer.lab.findings import Findings

from .collect import is_early, is_seen

Rows = Sequence[dict[str, Any]]
PAPER = {"one block": 76.0, "two blocks": 89.0, "one head": 78.0}
"""% of loops mended, large-v3 (arXiv 2508.15882): block 23 of 32; with block 18; its head 13 alone"""
GUARD, FALLBACK = "the guard: cut what it takes for a loop", "temperature fallback"
KINDS = ["non-speech", "speech", "said again and again"]


def found(model: str, split: str, rows: Rows) -> Findings:
    """How many windows repeat, by which rule, and which of them the guard takes for loops."""
    table, values = [], []
    for kind in KINDS:
        here = [row for row in rows if kind_of(row) == kind]
        by_tokens = [row for row in here if row["seen"]]
        by_ratio = [row for row in here if row["compression_ratio"] > 2.4]
        seen = [row for row in here if is_seen(row)]
        early = [row for row in seen if kind == KINDS[2] and is_early(row)]
        value = {
            "kind": kind, "windows": len(here), "tokens repeat": len(by_tokens),
            "compression ratio > 2.4": len(by_ratio),
            "taken for a loop": len(seen), "within what was said": len(early),
        }  # fmt: skip
        values.append(value)
        table.append([str(each) for each in value.values()])
    about = {"model": model, "split": split}
    return Findings(f"loops-{model}-{split}", about, list(values[0]), table, values)


def mended(model: str, split: str, rows: Rows, taken: set[str]) -> Findings:
    """What share of the windows with repeated tokens each way mends: no loop is left, and stock's compression ratio is
    kept. ``taken``: those that the guard takes for loops, ids; it cuts these and leaves the others, as they are or to
    stock's temperatures."""
    guarded = [
        {**row, "way": name}
        for name, otherwise in {GUARD: "unchanged", f"{GUARD}, else {FALLBACK}": FALLBACK}.items()
        for row in rows
        if row["way"] == ("cut" if row["id"] in taken else otherwise)
    ]
    rows = [*guarded, *rows]
    names = list(dict.fromkeys(row["way"] for row in rows))
    table, values = [], []
    for name in names:
        here = [row for row in rows if row["way"] == name]
        good = [row for row in here if not row["looping"] and row["compression_ratio"] <= 2.4]
        share = percent(here, [row in good for row in here])
        words = float(np.mean([len(normalize(row["written"]).split()) for row in good])) if good else np.nan
        spoken = [row for row in here if row["text"]]
        counts = [word_counts(row["text"], row["written"], row["normalizer"]) for row in spoken]
        said = sum(each.words for each in counts if each)
        wer = 100 * sum(each.errors for each in counts if each) / said if said else float("nan")
        value = {
            "way": name, "loops": len(here), "mended %": share.to_dict(),
            "words where mended": words, "WER %": wer,
            "decoder passes": float(np.mean([row["passes"] for row in here])),
        }  # fmt: skip
        values.append(value)
        table.append(
            [
                name,
                str(len(here)),
                shown(share),
                f"{words:.1f}" if good else "-",
                f"{wer:.1f}" if said else "-",
                f"{value['decoder passes']:.0f}",
            ]
        )
    about = {"model": model, "split": split, "paper %": ", ".join(f"{k} {v:g}" for k, v in PAPER.items())}
    svg = plot(names, [value["mended %"] for value in values])
    return Findings(f"mended-{model}-{split}", about, list(values[0]), table, values, svg)


def plot(names: Sequence[str], mended: Sequence[dict[str, float]]) -> str:
    """Bars of the share mended by each way, with intervals; the paper's shares as lines."""
    from matplotlib import pyplot as plt

    from whisper_steer.eval.plots import svg

    figure, ax = plt.subplots(figsize=(7, 0.24 * len(names) + 1.2))
    values = np.array([each["value"] for each in mended])
    reach = [values - [each["low"] for each in mended], [each["high"] for each in mended] - values]
    ax.barh(names, values, xerr=reach, color="#93c5fd", ecolor="#374151", capsize=2)
    for name, value in PAPER.items():
        ax.axvline(value, color="#9ca3af", lw=0.8, ls="--")
        ax.annotate(
            f" paper, {name}", (value, 1), xycoords=("data", "axes fraction"), fontsize=7, rotation=60
        )
    ax.invert_yaxis()
    ax.set_xlabel("% of loops mended")
    return svg(figure)


def kind_of(row: dict[str, Any]) -> str:
    if row["condition"].startswith("again"):
        return KINDS[2]
    return KINDS[0] if row["kind"] == "nonspeech" else KINDS[1]


def percent(rows: Rows, which: Sequence[bool]) -> Estimate:
    """With its interval, over speakers and source recordings."""
    sums = group_sums([row["group"] for row in rows], [[float(x) for x in which], [1.0] * len(rows)])
    return bootstrap(sums, ratio(0, 1, 100.0))


def shown(estimate: Estimate) -> str:
    return f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"
