"""Two runs against each other on the clips and systems they share; and bars that a run must clear."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from whisper_steer.errors import UsageError

from . import intervals, metrics
from .metrics import Output
from .report import ci, table
from .results import outputs_of
from .summary import ALL_NONSPEECH, ALL_RECORDINGS, ALL_SPEECH, clip_sets

BAR = re.compile(
    r"^(?P<system>[\w.-]+):(?P<metric>\w+)(?:@(?P<set>[^<>]+))?(?P<sign><=|>=)(?P<value>[-+.\deE]+)$"
)
NONSPEECH = ("fsr_text", "fsr_score", "fsr_raw", "F")
SPEECH = ("wer", "frr", "D", "identical")
RECORDINGS = ("pause_words", "pause_words_by_alignment", "edges", "onset", "rtf")
POOLS = (
    ("nonspeech", ALL_NONSPEECH, NONSPEECH),
    ("speech", ALL_SPEECH, SPEECH),
    ("recording", ALL_RECORDINGS, RECORDINGS),
)
METRICS = {metric: (kind, pooled) for kind, pooled, metrics_ in POOLS for metric in metrics_}
"""metric of a bar -> kind of clips, and the set where the bar names none"""


def compare(old: dict[str, Any], new: dict[str, Any]) -> str:
    """Markdown: what changed, paired, clip by clip; difference = new - old."""
    before, after = outputs_of(old["records"]), outputs_of(new["records"])
    clips = [clip for clip in new["clips"] if clip["id"] in {c["id"] for c in old["clips"]}]
    rows = []
    for system in (name for name in after if name in before):
        a, b = after[system], before[system]
        for (kind, name), members in clip_sets(clips).items():
            here = [clip for clip in members if clip["id"] in a and clip["id"] in b]
            if not here or kind == "recording":
                continue
            rows.append([system, name, str(len(here)), *_changes(kind, here, a, b)])
    header = ["system", "clips of", "n", "fsr_text / FRR: only old, only new", "p", "F or WER: new - old"]
    return f"# Run {new['id']} against {old['id']}\n\n" + table(header, rows) + "\n"


def _changes(kind: str, clips: list[dict[str, Any]], a: dict[str, Output], b: dict[str, Output]) -> list[str]:
    def bad(output: Output, clip: dict[str, Any]) -> bool:
        written = metrics.has_text(output.text, clip["normalizer"])
        return written if kind == "nonspeech" else not written

    test = intervals.mcnemar([bad(b[c["id"]], c) for c in clips], [bad(a[c["id"]], c) for c in clips])
    if kind == "nonspeech":
        counted = clips
        counts = [[metrics.invented_words(x[c["id"]]) for c in clips] for x in (a, b)]
        per, scale = [c["seconds"] / 60 for c in clips], 1.0
    else:
        counted = [c for c in clips if c["text"]]
        both = [
            [metrics.word_counts(c["text"], x[c["id"]].text, c["normalizer"]) for c in counted]
            for x in (a, b)
        ]
        counts = [[n.errors if n else 0 for n in side] for side in both]
        per, scale = [n.words if n else 0 for n in both[0]], 100.0
    difference = intervals.paired_difference([c["group"] for c in counted], counts[0], counts[1], per, scale)
    return [f"{test['only_a']}, {test['only_b']}", f"{test['p']:.2g}", ci(difference.to_dict(), 1, "", "+")]


def check_bars(results: dict[str, Any], bars: list[str]) -> list[tuple[str, float | None, bool]]:
    """(bar, value, holds) of each ``SYSTEM:METRIC[@SET]<=VALUE``. Raises `UsageError` for one that cannot be read.

    METRIC: fsr_text, fsr_score, fsr_raw, F (set: all non-speech); wer, frr, D, identical (set: all speech);
    pause_words, pause_words_by_alignment, edges, onset, rtf (set: all recordings). Shares are between 0 and 1. A bar on
    a figure that the run does not have counts as broken.
    """
    return [(bar, *_check(results, bar)) for bar in bars]


def _check(results: dict[str, Any], bar: str) -> tuple[float | None, bool]:
    match = BAR.match(bar.strip())
    if not match or match["metric"] not in METRICS:
        raise UsageError(
            f"bar {bar!r} cannot be read; write SYSTEM:METRIC<=VALUE or SYSTEM:METRIC@SET>=VALUE, METRIC one of "
            f"{', '.join(METRICS)}"
        )
    kind, pooled = METRICS[match["metric"]]
    row = results["summary"][kind].get(match["set"] or pooled, {}).get(match["system"])
    value = None if row is None else row[match["metric"]]["value"]
    if value is None:
        return None, False
    holds: Callable[[float, float], bool] = (
        (lambda x, y: x <= y) if match["sign"] == "<=" else (lambda x, y: x >= y)
    )
    return value, holds(value, float(match["value"]))
