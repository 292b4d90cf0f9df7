"""The tables: delays, what was missed, false starts. Intervals are 95 %.

Those of delays and rates by bootstrap over recordings, those of shares after Wilson. Where nothing is counted in some
hours, the upper end of a rate is that of a Poisson count of 0, 3.69 (Garwood 1936), over them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2

from ..intervals import LEVEL, RESAMPLES, bootstrap, ratio, wilson
from ..report import table
from .run import Row

DELAYS = [
    "system",
    "starts: median",
    "95th percentile",
    "ends: median",
    "95th percentile",
    "largest start, end",
]
COUNTS = [
    "system",
    "false starts an hour of pauses",
    "pauses with one",
    "missed",
    "ended early",
    "splits",
    "CPU s per s",
]


def report(rows: dict[str, list[Row]]) -> str:
    """Markdown of what `run` gives."""
    some = next(iter(rows.values()))
    spoken = sum(row.score.utterances for row in some)
    hours = sum(sum(row.score.hours.values()) for row in some)
    kinds = sorted({kind for row in some for kind in row.score.hours})
    minutes = sum(row.seconds for row in some) / 60
    parts = [
        f"{len(some)} streams, {minutes:.0f} minutes, {spoken} utterances, {hours * 60:.0f} minutes without"
    ]
    if spoken:
        parts += [
            "Delays in seconds\n\n" + table(DELAYS, [_delays(name, found) for name, found in rows.items()])
        ]
    parts += [table(COUNTS, [_counts(name, found, kinds, spoken) for name, found in rows.items()])]
    lengths = [f"{kind} ({sum(row.score.hours.get(kind, 0) for row in some) * 60:.0f} min)" for kind in kinds]
    by_kind = [[name, *(_rate(found, [kind]) for kind in kinds)] for name, found in rows.items()]
    parts += ["False starts an hour, by what is heard\n\n" + table(["system", *lengths], by_kind)]
    return "\n\n".join(parts)


def _delays(name: str, found: Sequence[Row]) -> list[str]:
    starts, ends = ([row.score.starts for row in found], [row.score.ends for row in found])
    largest = (f"{max((d for each in delays for d in each), default=0.0):.2f}" for delays in (starts, ends))
    quantiles = (_quantile(delays, q) for delays in (starts, ends) for q in (0.5, 0.95))
    return [name, *quantiles, ", ".join(largest)]


def _counts(name: str, found: Sequence[Row], kinds: Sequence[str], spoken: int) -> list[str]:
    def total(of: str) -> int:
        return sum(sum(getattr(row.score, of).values()) for row in found)

    cpu = sum(row.cpu for row in found) / sum(row.seconds for row in found)
    cells = [name, _rate(found, kinds), _share(total("pauses_started"), total("pauses"))]
    cells += [_share(sum(getattr(row.score, of) for row in found), spoken) for of in ("missed", "early_ends")]
    return [*cells, str(sum(row.score.splits for row in found)), f"{cpu:.3f}"]


def _quantile(delays: Sequence[Sequence[float]], q: float) -> str:
    """``0.42 [0.40, 0.44]`` of the delays of each recording."""
    every = np.array([d for each in delays for d in each])
    if not len(every):
        return ""
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(RESAMPLES):
        chosen = rng.integers(len(delays), size=len(delays))
        if drawn := [d for i in chosen for d in delays[i]]:
            draws.append(np.quantile(drawn, q))
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return f"{np.quantile(every, q):.2f} [{low:.2f}, {high:.2f}]"


def _rate(rows: Sequence[Row], kinds: Sequence[str]) -> str:
    """``3.1 [1.0, 5.2]`` false starts an hour of pauses that hold something of those kinds."""
    sums = np.array(
        [
            [sum(of.get(kind, 0) for kind in kinds) for of in (r.score.false_starts, r.score.hours)]
            for r in rows
        ],
        float,
    )
    count, hours = sums.sum(axis=0)
    if not hours:
        return ""
    if not count:
        return f"0.0 [0.0, {chi2.ppf((1 + LEVEL) / 2, 2) / 2 / hours:.1f}]"
    found = bootstrap(sums[sums[:, 1] > 0], ratio())
    return f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"


def _share(k: int, n: int) -> str:
    """``2 of 150, 1.3% [0.4, 4.7]``; empty of none."""
    if not n:
        return ""
    found = wilson(k, n)
    return f"{k} of {n}, {found.value:.1%} [{found.low * 100:.1f}, {found.high * 100:.1f}]"
