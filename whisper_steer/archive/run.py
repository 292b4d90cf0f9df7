"""A run: what is not done yet of INPUT goes to workers, each finished part to disk, and in the end to the manifests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from whisper_steer.archive import card
from whisper_steer.archive.inputs import find_sources
from whisper_steer.archive.manifest import ERRORS, Standing, Totals, standing, write_manifests
from whisper_steer.archive.parts import Parts
from whisper_steer.archive.plan import Part, after_a_death, cut
from whisper_steer.archive.work import Row, bad_row
from whisper_steer.errors import ModelError
from whisper_steer.files.lock import alone_in

TOLD = 20
"""bad recordings that are told one by one"""
BARREN = 3
"""rounds in which workers end over all parts, after which they are given up"""

Say = Callable[[str], None]


class Workers(Protocol):
    """A pool of workers."""

    def map(self, parts: Iterable[Part]) -> Iterator[tuple[Part, list[Row] | None]]:
        """The rows of each part, as they are finished; None for a part over which a worker ended."""


@dataclass(frozen=True)
class Report:
    """What a run did, and what the archive holds now."""

    archive: Totals
    seconds: float
    """of audio, in this run"""
    took: float
    """seconds by the clock, with a loaded model"""

    def __str__(self) -> str:
        all_of_it = self.archive
        hours, speech = all_of_it.seconds / 3600, all_of_it.speech / 3600
        bad = f"; {all_of_it.bad} bad, see {ERRORS}" if all_of_it.bad else ""
        speed = f"{self.seconds / self.took:.1f} hours per hour" if self.seconds else "nothing was left to do"
        return (
            f"{all_of_it.recordings} recordings, {hours:.2f} h, {speech:.2f} h of speech{bad}; "
            f"this run {self.seconds / 3600:.2f} h in {self.took:.0f} s: {speed}"
        )


def run(
    given: str,
    out: Path,
    settings: dict[str, Any],
    workers: AbstractContextManager[Workers],
    part_seconds: float,
    say: Say,
) -> Report:
    """Transcribe all of INPUT that ``out`` does not hold yet, and write the manifests.

    settings: what the texts depend on, by the names of the options; another run on ``out`` has to have the same.
    part_seconds: of audio that a worker does at a time. say: where lines for the user go.

    Raises `UsageError` where ``out`` is something else, was begun with other settings or is in use, `DataError`,
    `ModelError`, `OSError` where the disk is full; what is finished stays.
    """
    sources = find_sources(given)
    card.check(out, given, settings)
    with alone_in(out, "archive run"):
        card.begin(out, given, settings)
        parts = Parts(out)
        parts.tidy()
        before = standing(parts, sources)
        todo = list(cut(before.todo(sources), part_seconds))
        _tell(before, len(sources), todo, say)
        seconds, start = 0.0, time.monotonic()
        try:
            if todo:
                with workers as pool:
                    start = time.monotonic()
                    seconds = _work_through(todo, pool, parts, say)
            took = time.monotonic() - start
            totals = write_manifests(out, parts, sources)
        except OSError as error:
            text = f"{error.strerror or error}; mend that and run the same again: what is finished is kept"
            raise OSError(error.errno, text, error.filename or str(out)) from error
    return Report(totals, seconds, took)


def _tell(before: Standing, sources: int, todo: list[Part], say: Say) -> None:
    for path in before.damaged:
        path.unlink()
        say(f"{path} could not be read: its recordings are done again")
    if before.outdated or before.gone:
        say(
            f"INPUT has changed: {len(before.outdated)} recordings are others than before and done again, "
            f"{len(before.gone)} are gone and left out of the manifests"
        )
    left = [source for part in todo for source in part.sources]
    again = sum(source.key in before.failed for source in left)
    hours = sum(part.seconds for part in todo) / 3600
    say(
        f"{sources} sources, {sources - len(left)} done before; {len(left)} to do in {len(todo)} parts"
        + (f", {hours:.2f} h as far as stated" if hours else "")
        + (f", {again} of them failed before" if again else "")
    )


def _work_through(todo: list[Part], pool: Workers, parts: Parts, say: Say) -> float:
    """Do all parts; returns seconds of audio."""
    seconds, bad, start = 0.0, 0, time.monotonic()
    with tqdm(total=sum(len(part.sources) for part in todo), unit="source", mininterval=1.0) as bar:
        for part, rows in _until_done(todo, pool, lambda text: _aside(say, text)):
            parts.write(rows)
            seconds += sum(row["duration"] for row in rows if "error" not in row)
            for row in rows:
                if "error" in row:
                    bad += 1
                    if bad <= TOLD:
                        _aside(say, f"Skipping {row['audio_filepath']}: {row['error']}")
                    if bad == TOLD:
                        _aside(say, f"Further ones are told in {ERRORS} only")
            speed = seconds / (time.monotonic() - start)
            bar.set_postfix_str(f"{seconds / 3600:.2f} h, {speed:.1f} h/h, {bad} bad", refresh=False)
            bar.update(len(part.sources))
    return seconds


def _until_done(todo: list[Part], pool: Workers, say: Say) -> Iterator[tuple[Part, list[Row]]]:
    """Rows of every part. One over which a worker ended is done again in halves, down to the source that ends it."""
    barren = 0
    while todo:
        again: list[Part] = []
        barren += 1
        for part, rows in pool.map(todo):
            if rows is not None:
                barren = 0
                yield part, rows
                continue
            halves = after_a_death(part)
            again += halves
            if halves:
                say(
                    f"A worker was lost over {len(part.sources)} sources: they are done again, in smaller parts"
                )
            else:
                yield part, [bad_row(part.sources[0], "a worker was lost over it, twice")]
        if barren > BARREN:
            raise ModelError("workers end one after another: is there memory for them? take fewer --workers")
        todo = again


def _aside(say: Say, text: str) -> None:
    """A line that does not tear the progress bar."""
    with tqdm.external_write_mode():
        say(text)


__all__ = ["Report", "Workers", "run"]
