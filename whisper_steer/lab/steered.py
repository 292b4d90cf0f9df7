"""The sanity check on steering: do an SAE's latents silence non-speech at less cost on speech than random ones?

Every dictionary is treated alike: the edit `silence` is fitted from it (`whisper_steer.fit.silence`: as many latents,
on the same windows, calibrated in the same way) and its change is brought to the length of the first one's. Dense
directions of that length, under the first one's condition, stand beside them: mean difference, first principal
component, a random one. Each is measured under its condition, and on every frame, which is what it does to speech.
The controls are those of arXiv 2602.14111, which did not look at steering.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.eval.curves.baselines import random_unit
from whisper_steer.eval.curves.bench import STOCK, Bench, Intervention
from whisper_steer.eval.curves.material import Heard, hear, principal_components
from whisper_steer.eval.curves.report import percent
from whisper_steer.eval.curves.summary import Point, summarise
from whisper_steer.eval.plots import svg
from whisper_steer.fit.selection import mean_difference
from whisper_steer.fit.silence import fit_silence
from whisper_steer.sae.model import SAE
from whisper_steer.sae.train import Quality
from whisper_steer.steer.silence import Silence, always, where_nobody_speaks

STRENGTHS = (0.5, 1.0, 1.5)
"""times the length of the first dictionary's change"""
Way = Callable[[Tensor, float], Tensor]
"""activations (batch, frames, n_state) and a strength -> what to add to them"""
HERE, EVERYWHERE = "where nobody speaks", "on every frame"


def steer(
    model: Whisper,
    point: str,
    saes: dict[str, SAE],
    fit: Sequence[Clip],
    choose: Sequence[Clip],
    test: Sequence[Clip],
    out: Path,
    strengths: Sequence[float] = STRENGTHS,
) -> list[Point]:
    """Figures of each dictionary and direction at each strength, stock's first; the bench's rows stay in ``out``.

    ``fit``, ``choose``: clips that edits are fitted on and conditions calibrated on; ``test``: those measured. The
    group of a point is "NAME, where nobody speaks" or "NAME, on every frame".
    """
    heard = hear(model, point, fit, choose)
    fitted = {name: fit_one(model, point, sae, heard) for name, sae in saes.items()}
    towards = mean_difference(heard.fit)
    directions = {
        "mean difference": towards,
        "PCA": principal_components(heard.fit, towards)[0],
        "random direction": random_unit(towards, seed=0),
    }
    edits = equally_long(fitted, directions)
    interventions = []
    for name, ways in edits.items():
        for where, change in zip((HERE, EVERYWHERE), ways, strict=True):
            group = f"{name}, {where}"
            for strength in strengths if where == HERE else (1.0,):
                edit = _added(change, strength)
                interventions.append(Intervention(f"{group}@{strength:g}", [(point, edit)], strength, group))
    Bench(model, test).measure(interventions, out, ("stock",))
    return summarise(out)


def equally_long(silences: dict[str, Silence], directions: dict[str, Tensor]) -> dict[str, tuple[Way, Way]]:
    """For each edit and each direction (n_state,), what it adds under the condition and on every frame: all as long as
    the change of the first edit, whose condition the directions take."""
    first = next(iter(silences.values()))
    length = size(first)
    found: dict[str, tuple[Way, Way]] = {}
    for name, silence in silences.items():
        equal = (
            silence
            if silence is first
            else replace(silence, change=silence.change * (length / size(silence)))
        )
        found[name] = (partial(_under, equal), partial(_always, equal))
    for name, direction in directions.items():
        found[name] = _dense(first, direction / direction.norm() * length)
    return found


def fit_one(model: Whisper, point: str, sae: SAE, heard: Heard) -> Silence:
    """The edit of one dictionary."""
    return fit_silence(model, point, sae, heard.fit, heard.clean, heard.hard, heard.degraded)[0]


def size(silence: Silence) -> Tensor:
    """The length of its change, in units of the unit-norm input: a scalar."""
    return (silence.change @ silence.latents.directions).norm()


def _under(silence: Silence, h: Tensor, strength: float) -> Tensor:
    return where_nobody_speaks(h, silence, strength)


def _always(silence: Silence, h: Tensor, strength: float) -> Tensor:
    return always(h, silence, strength)


def _dense(silence: Silence, direction: Tensor) -> tuple[Way, Way]:
    """A direction in units of the unit-norm input, where another edit's condition holds, and everywhere."""

    def everywhere(h: Tensor, strength: float) -> Tensor:
        return strength * silence.latents.encode(h)[1] * direction

    def here(h: Tensor, strength: float) -> Tensor:
        return everywhere(h, strength) * silence.condition.holds(h)[..., None]

    return here, everywhere


def _added(change: Way, strength: float) -> Callable[[Tensor], Tensor]:
    return lambda h: h + change(h, strength)


def rows(
    points: Sequence[Point], qualities: dict[str, Quality]
) -> tuple[list[list[str]], list[dict[str, Any]]]:
    """A row for each dictionary and direction at each strength, stock's first: as printed, and as values."""
    here = [p for p in points if p.group.endswith(HERE)]
    everywhere = {p.group.removesuffix(f", {EVERYWHERE}"): p for p in points if p.group.endswith(EVERYWHERE)}
    stock = next(p for p in points if p.name == STOCK.name)
    shown = [["stock", "", "", "", "", *_shares(stock), f"WER {percent(stock.figures['wer'])}", "", ""]]
    for each in here:
        name = each.group.removesuffix(f", {HERE}")
        always_on, quality = everywhere[name], qualities.get(name)
        told = ["", "", ""]
        if quality is not None:
            told = [
                f"{100 * quality.explained_variance:.1f} %",
                f"{quality.mean_active:.1f}",
                f"{quality.dead:.1%}",
            ]
        shown.append(
            [
                *(name, *told, f"{each.strength:g}", *_shares(each)),
                percent(each.changes["wer"], "+", 2),
                percent(always_on.changes["wer"], "+", 1),
                percent(always_on.figures["fsr_text"]),
            ]
        )
    return shown, [point.to_dict() for point in points]


def _shares(point: Point) -> list[str]:
    return [percent(point.figures[figure]) for figure in ("fsr_text", "fsr_raw", "fsr_score")]


def plot(points: Sequence[Point]) -> str:
    """False speech that each leaves under its condition, and what it costs on speech on every frame, as SVG."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
    names = list(dict.fromkeys(p.group.rpartition(", ")[0] for p in points if p.group.endswith(HERE)))
    for axes, figures, where, label in (
        (left, ("fsr_text", "fsr_score"), HERE, "% of non-speech clips"),
        (right, ("wer",), EVERYWHERE, "points of WER added"),
    ):
        for offset, key in enumerate(figures):
            for row, name in enumerate(names):
                there = [p for p in points if p.group == f"{name}, {where}"]
                found = min(there, key=lambda p: abs(p.strength - 1))
                estimate = found.changes[key] if key == "wer" else found.figures[key]
                low, value, high = (100 * x for x in (estimate.low, estimate.value, estimate.high))
                reach = [[max(0.0, value - low)], [max(0.0, high - value)]]
                colour = f"C{offset if where == HERE else 2}"
                axes.errorbar(
                    value,
                    row + 0.15 * offset,
                    xerr=reach,
                    fmt="o",
                    color=colour,
                    label=key if not row else None,
                )
        axes.set_xlabel(label)
        axes.set_title(where, fontsize=10, loc="left")
        axes.grid(alpha=0.2)
        axes.legend(fontsize=8)
    left.set_yticks(range(len(names)), names)
    return svg(figure)
