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
    delays = [
        [
            name,
            *(_quantile([row.score.starts for row in found], q) for q in (0.5, 0.95)),
            *(_quantile([row.score.ends for row in found], q) for q in (0.5, 0.95)),
            ", ".join(
                f"{max((d for row in found for d in of(row)), default=0):.2f}" for of in (_starts, _ends)
            ),
        ]
        for name, found in rows.items()
    ]
    counts = [
        [
            name,
            _rate(found, kinds),
            _share(
                sum(sum(r.score.pauses_started.values()) for r in found),
                sum(sum(r.score.pauses.values()) for r in found),
            ),
            _share(sum(row.score.missed for row in found), spoken),
            _share(sum(row.score.early_ends for row in found), spoken),
            str(sum(row.score.splits for row in found)),
            f"{sum(row.cpu for row in found) / sum(row.seconds for row in found):.3f}",
        ]
        for name, found in rows.items()
    ]
    kinds_of = [[name, *(_rate(found, [kind]) for kind in kinds)] for name, found in rows.items()]
    lengths = [f"{kind} ({sum(row.score.hours.get(kind, 0) for row in some) * 60:.0f} min)" for kind in kinds]
    minutes = sum(row.seconds for row in some) / 60
    return "\n\n".join(
        [
            f"{len(some)} recordings, {minutes:.0f} minutes, {spoken} utterances, {hours * 60:.0f} minutes of pauses",
            "Delays in seconds\n\n" + table(DELAYS, delays),
            table(COUNTS, counts),
            "False starts an hour, by what the pause holds\n\n" + table(["system", *lengths], kinds_of),
        ]
    )


def _starts(row: Row) -> list[float]:
    return row.score.starts


def _ends(row: Row) -> list[float]:
    return row.score.ends


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
    """``2 of 150, 1.3 % [0.4, 4.7]``."""
    found = wilson(k, n)
    return f"{k} of {n}, {found.value:.1%} [{found.low * 100:.1f}, {found.high * 100:.1f}]"
