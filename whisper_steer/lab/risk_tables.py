"""Tables and the plot of ``whisper-steer lab risk``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whisper_steer.errors import DataError
from whisper_steer.eval.intervals import Estimate, wilson
from whisper_steer.lab.findings import Findings
from whisper_steer.risk.collect import Collected
from whisper_steer.risk.fit import Labelled, Place, numbers_of, probabilities
from whisper_steer.risk.probe import Probe
from whisper_steer.risk.scores import auroc, average_precision, calibration_error, estimate, reliability
from whisper_steer.risk.signs import SCORES
from whisper_steer.risk.states import POSITIONS
from whisper_steer.risk.truth import BETWEEN, KINDS, RIGHT

ALONE = {"no_speech_prob": 1, "avg_logprob": -1, "compression_ratio": 1}
"""stock's scores as a risk of their own: the sign that makes more of them worse"""


def told(collected: Collected, about: dict[str, Any]) -> Findings:
    """What was collected: segments right, wrong in each way, and between, in each split and from each source."""
    columns = ["split", "written by", RIGHT, *KINDS, f"{BETWEEN}, left out"]
    rows, values = [], []
    for split in ("fit", "choose", "test"):
        for source in ("stock", "gated"):
            rows_of = collected.of(split, source)
            counts = Counter(collected.rows[i]["truth"] for i in rows_of)
            numbers = {kind: counts[kind] for kind in (RIGHT, *KINDS, BETWEEN)}
            rows.append([split, source, *map(str, numbers.values())])
            values.append({"split": split, "source": source, **numbers})
    return Findings("risk-segments", {**about, "clips": collected.clips}, columns, rows, values)


def across(searched: Sequence[Place], about: dict[str, Any]) -> Findings:
    """Blocks by positions: the residual stream alone."""
    blocks = sorted({place.block for place in searched})
    by = {(place.block, place.position): place for place in searched}
    rows = [
        [f"blocks.{b}", *(f"{by[b, p].auroc:.3f} / {by[b, p].accuracy:.1%}" for p in POSITIONS)]
        for b in blocks
    ]
    about = {**about, "figures": "AUROC on choose / balanced accuracy on test; arXiv 2508.15882: 93.4 %"}
    return Findings("risk-places", about, ["decoder", *POSITIONS], rows, [vars(place) for place in searched])


def tested(
    collected: Collected, probes: Mapping[str, Probe], about: dict[str, Any], name: str = "risk-tested"
) -> Findings:
    """Every probe and each of stock's scores on `test`: by who wrote the segments, and by kind of error."""
    columns = ["written by", "right / wrong", "risk from", "AUROC", "average precision", "ECE"]
    columns += [f"AUROC, {kind}" for kind in KINDS]
    rows: list[list[str]] = []
    values: list[dict[str, Any]] = []
    curves: dict[str, list[tuple[float, int, int]]] = {}
    for source in ("stock", "gated"):
        try:
            labelled = Labelled.of(collected, "test", source)
        except DataError:
            continue
        wrong = labelled.wrong
        found = [collected.rows[i] for i in labelled.rows]
        groups = [row["group"] for row in found]
        kinds = np.array([row["truth"] for row in found])
        right_of = f"{int((wrong == 0).sum())} / {int(wrong.sum())}"
        for system, risk, calibrated in _risks(collected, labelled, probes):
            measured = {
                "auroc": estimate(auroc, wrong, risk, groups),
                "average_precision": estimate(average_precision, wrong, risk, groups),
            }
            if calibrated:
                measured["ece"] = estimate(calibration_error, wrong, risk, groups)
                if system in ("states", "scores"):
                    curves[f"{system}, {source}"] = reliability(wrong, risk)
            for kind in KINDS:
                some = (kinds == kind) | (wrong == 0)
                measured[kind] = estimate(
                    auroc, wrong[some], risk[some], [g for g, take in zip(groups, some, strict=True) if take]
                )
            rows.append([source, right_of, system, *(_shown(measured.get(k)) for k in _COLUMNS)])
            values.append(
                {"source": source, "system": system, **{k: v.to_dict() for k, v in measured.items()}}
            )
    return Findings(name, {**about, "split": "test"}, columns, rows, values, plot(curves))


_COLUMNS = ("auroc", "average_precision", "ece", *KINDS)


def _risks(
    collected: Collected, labelled: Labelled, probes: Mapping[str, Probe]
) -> list[tuple[str, Any, bool]]:
    """(name, risks, whether they are probabilities) of every system."""
    found: list[tuple[str, Any, bool]] = []
    for name, probe in probes.items():
        numbers = numbers_of(collected, labelled.rows, probe.signs, probe.block, probe.position)
        found.append((name, probabilities(probe, numbers), True))
    scores = numbers_of(collected, labelled.rows, SCORES, None, None)
    for i, name in enumerate(SCORES):
        found.append((name, ALONE[name] * scores[:, i], False))
    return found


def _shown(estimate: Estimate | None) -> str:
    if estimate is None or not np.isfinite(estimate.value):
        return "-"
    if not np.isfinite(estimate.low):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}-{estimate.high:.3f})"


def plot(curves: Mapping[str, Sequence[tuple[float, int, int]]]) -> str | None:
    """Reliability: how often segments of a risk are wrong, in bins of equally many, with Wilson's intervals."""
    from matplotlib import pyplot as plt

    from whisper_steer.eval.plots import svg

    if not curves:
        return None
    figure, axes = plt.subplots(1, len(curves), figsize=(3.2 * len(curves), 3.4), sharey=True, squeeze=False)
    for ax, (name, bins) in zip(axes[0], curves.items(), strict=True):
        shares = [wilson(wrong, n) for _, wrong, n in bins]
        reach = np.clip([[s.value - s.low for s in shares], [s.high - s.value for s in shares]], 0, None)
        ax.plot([0, 1], [0, 1], color="#9ca3af", lw=1)
        ax.errorbar(
            [b[0] for b in bins], [s.value for s in shares], yerr=reach, fmt="o", ms=4, color="#2563eb"
        )
        ax.set_title(name, fontsize=9)
        ax.set_xlabel("risk")
    axes[0][0].set_ylabel("share that nobody said")
    return svg(figure)


__all__ = ["across", "plot", "tested", "told"]
