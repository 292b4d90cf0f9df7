"""Recordings with pauses: words written where nobody speaks, and what was lost and misplaced where somebody does.

Reference words are those of each utterance after normalisation, one utterance behind the other; written words are those
of each segment after normalisation, one segment behind the other. Marks without a letter or digit, and tags such as
[Music], are no words. One alignment of the two by jiwer gives the word error rate and the words below.

- ``in_pauses``, the headline: the words of segments that begin and end wherever they like, but whose middle lies more
  than `AWAY` seconds from every utterance, and of whose words the alignment finds fewer than half in the reference. A
  segment of which it finds half or more is speech with wrong times, and is not counted. Behind the end of a
  recording nobody speaks either.
- ``between``: words by alignment alone, without times: inserted words whose neighbours in the reference are in
  different utterances; the beginning and the end of a recording, both pauses, count as such a place. A system that gets
  most words wrong shows few insertions, which is why this one is not the headline.
- ``edges_deleted`` of ``edge_words``: deleted words among the first and the last `EDGE` of each utterance; those are
  what a cut too tight costs.
- ``onset_error``: summed over utterances, by how many seconds the first segment that overlaps one begins earlier or
  later than it. Utterances without such a segment are not among the ``onsets``. Clips of speech begin with some silence
  of their own, the same for all systems.

Pauses and utterances are those of the `whisper_steer.data.recordings.Script`. Without timestamps a segment is a window
of up to 30 s: then ``in_pauses`` and ``onset_error`` mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass
from itertools import chain
from typing import Any

import jiwer

from whisper_steer.data.normalize import normalize
from whisper_steer.data.recordings import Part, Script

from . import intervals
from .metrics import Output

AWAY = 0.5
"""seconds from speech beyond which a segment's middle is in a pause"""
EDGE = 3
"""words"""


@dataclass(frozen=True)
class Figures:
    """What one recording contributes, in sums."""

    in_pauses: int
    between: int
    pause_minutes: float
    errors: int
    words: int
    edges_deleted: int
    edge_words: int
    onset_error: float
    onsets: int
    minutes: float
    """of the whole recording"""
    cpu: float
    """seconds of processor time that the system took for it"""


def figures(script: Script, output: Output, normalizer: str) -> Figures:
    """The figures of one system on one recording."""
    spoken = [words_of(part.text or "", normalizer) for part in script.utterances]
    written = [words_of(segment["text"], normalizer) for segment in output.segments]
    aligned = align([*chain(*spoken)], [*chain(*written)])
    edges, boundaries = _places([len(words) for words in spoken])
    onsets = [error for part in script.utterances if (error := onset_error(part, output)) is not None]
    return Figures(
        in_pauses=_words_in_pauses(script.utterances, output, written, aligned.hits),
        between=sum(n for place, n in aligned.inserted.items() if place in boundaries),
        pause_minutes=sum(part.end - part.start for part in script.pauses) / 60,
        errors=aligned.errors,
        words=sum(map(len, spoken)),
        edges_deleted=len(edges & aligned.deleted),
        edge_words=len(edges),
        onset_error=sum(onsets),
        onsets=len(onsets),
        minutes=max((part.end for part in script.parts), default=0.0) / 60,
        cpu=output.cpu or 0.0,
    )


@dataclass(frozen=True)
class Aligned:
    """Written words against reference words."""

    hits: frozenset[int]
    """places among the written words of those that are as in the reference"""
    deleted: frozenset[int]
    """places in the reference"""
    inserted: dict[int, int]
    """place in the reference in front of which words were inserted -> how many"""
    errors: int


def align(reference: Sequence[str], written: Sequence[str]) -> Aligned:
    """jiwer's alignment of two lists of words, either of which may be empty."""
    if not reference or not written:
        return Aligned(
            frozenset(),
            frozenset(range(len(reference))),
            {0: len(written)} if written else {},
            len(reference) + len(written),
        )
    found = jiwer.process_words(" ".join(reference), " ".join(written))
    hits, deleted, inserted = set[int](), set[int](), dict[int, int]()
    for chunk in found.alignments[0]:
        if chunk.type == "equal":
            hits.update(range(chunk.hyp_start_idx, chunk.hyp_end_idx))
        elif chunk.type == "delete":
            deleted.update(range(chunk.ref_start_idx, chunk.ref_end_idx))
        elif chunk.type == "insert":
            inserted[chunk.ref_start_idx] = chunk.hyp_end_idx - chunk.hyp_start_idx
    return Aligned(
        frozenset(hits),
        frozenset(deleted),
        inserted,
        found.substitutions + found.deletions + found.insertions,
    )


def words_of(text: str, normalizer: str) -> list[str]:
    """A text's words after normalisation, those with a letter or digit."""
    return [word for word in normalize(text, normalizer).split() if any(map(str.isalnum, word))]


def onset_error(utterance: Part, output: Output) -> float | None:
    """Seconds between an utterance's start and that of the first segment over it; None where there is none."""
    over = [s["start"] for s in output.segments if s["start"] < utterance.end and s["end"] > utterance.start]
    return abs(min(over) - utterance.start) if over else None


def in_pause(middle: float, utterances: Sequence[Part]) -> bool:
    """Whether a time in seconds lies more than `AWAY` from every utterance."""
    return not any(part.start - AWAY <= middle <= part.end + AWAY for part in utterances)


def _words_in_pauses(
    utterances: Sequence[Part], output: Output, written: Sequence[Sequence[str]], hits: frozenset[int]
) -> int:
    count = place = 0
    for segment, words in zip(output.segments, written, strict=True):
        said = sum(i in hits for i in range(place, place + len(words)))
        place += len(words)
        if 2 * said < len(words) and in_pause((segment["start"] + segment["end"]) / 2, utterances):
            count += len(words)
    return count


def _places(lengths: Sequence[int]) -> tuple[frozenset[int], frozenset[int]]:
    """Reference words at the edges of utterances of so many words, and the places between two utterances."""
    edges, boundaries, start = set[int](), {0}, 0
    for n in lengths:
        edges |= {start + i for i in range(n) if i < EDGE or i >= n - EDGE}
        start += n
        boundaries.add(start)
    return frozenset(edges), frozenset(boundaries)


RATES: dict[str, tuple[str, str, float]] = {
    "pause_words": ("in_pauses", "pause_minutes", 1.0),
    "pause_words_by_alignment": ("between", "pause_minutes", 1.0),
    "wer": ("errors", "words", 1.0),
    "edges": ("edges_deleted", "edge_words", 1.0),
    "onset": ("onset_error", "onsets", 1.0),
    "rtf": ("cpu", "minutes", 1 / 60),
}
"""figure of a set of recordings -> which sum over which other one, and a factor"""


def pooled(found: Sequence[Figures]) -> dict[str, Any]:
    """Figures of a set of recordings: `RATES` with intervals by bootstrap over recordings, and the sums."""
    columns = list(asdict(found[0])) if found else []
    names = [f"{i:06}" for i in range(len(found))]
    sums = intervals.group_sums(names, [list(column) for column in zip(*map(astuple, found), strict=True)])
    totals = {name: float(value) for name, value in zip(columns, sums.sum(axis=0), strict=True)}
    rates = {
        rate: intervals.bootstrap(
            sums, intervals.ratio(columns.index(above), columns.index(below), factor)
        ).to_dict()
        for rate, (above, below, factor) in RATES.items()
    }
    return {"recordings": len(found), **rates, "sums": {k: round(v, 3) for k, v in totals.items()}}


HEADER = [
    "system", "words in pauses per minute", "the same by alignment", "WER", "words deleted at edges",
    "onset error, s", "CPU s", "real-time factor",
]  # fmt: skip


def row(system: str, pool: dict[str, Any], timed: bool = True) -> list[str]:
    """One line of the table under `HEADER`. ``timed``: whether the segments have times."""
    return [
        system,
        estimate(pool["pause_words"]) if timed else "",
        estimate(pool["pause_words_by_alignment"]),
        estimate(pool["wer"], 100, "%"),
        estimate(pool["edges"], 100, "%"),
        estimate(pool["onset"]) if timed else "",
        f"{pool['sums']['cpu']:.1f}",
        estimate(pool["rtf"], digits=3),
    ]


def estimate(figure: dict[str, Any], scale: float = 1.0, unit: str = "", digits: int = 2) -> str:
    """``12.30% [10.10, 14.60]``; empty where there is no figure."""
    value, low, high = (
        None if figure[k] is None else f"{figure[k] * scale:.{digits}f}" for k in ("value", "low", "high")
    )
    interval = "" if low is None or high is None else f" [{low}, {high}]"
    return "" if value is None else f"{value}{unit}{interval}"
