"""Workers on this machine: processes of one loaded model each, which may die without taking the run with them."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import get_context, parent_process
from types import TracebackType

from whisper_steer.archive.plan import Part
from whisper_steer.archive.sources import Source
from whisper_steer.archive.work import Load, Row, Worker
from whisper_steer.errors import ModelError

FEWER = "is there memory for them? take fewer --workers"
DEATHS = 10
"""processes that may end one after another without anything finished"""

_worker: Worker | None = None


class Processes:
    """A context in which ``workers`` processes wait for parts."""

    def __init__(self, load: Load, workers: int) -> None:
        self._load, self._workers = load, workers
        self._hands: list[_Hand] = []

    def __enter__(self) -> Processes:
        """Load the models. Raises what that raises, `ModelError` where a process ends while it does."""
        self._hands = [_Hand(self._load) for _ in range(self._workers)]
        try:
            for hand in self._hands:
                hand.wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for hand in self._hands:
                hand.dismiss()
            self._hands = []
        self._end()

    def map(self, parts: Iterable[Part]) -> Iterator[tuple[Part, list[Row] | None]]:
        """The rows of each part, as they are finished; None for a part whose process ended over it.

        Raises `ModelError` where process after process ends.
        """
        waiting, idle = iter(parts), list(self._hands)
        running: dict[Future[list[Row]], tuple[_Hand, Part]] = {}
        in_a_row = 0
        while True:
            while idle and (part := next(waiting, None)) is not None:
                hand = idle.pop()
                running[hand.do(part)] = hand, part
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                hand, part = running.pop(future)
                rows: list[Row] | None = None
                try:
                    rows = future.result()
                    in_a_row = 0
                except BrokenProcessPool:
                    in_a_row += 1
                    if in_a_row > DEATHS:
                        raise ModelError(f"workers end one after another: {FEWER}") from None
                    self._hands.remove(hand)
                    hand = _Hand(self._load)
                    self._hands.append(hand)
                idle.append(hand)
                yield part, rows

    def _end(self) -> None:
        for hand in self._hands:
            hand.end()
        self._hands = []


class _Hand:
    """One process."""

    def __init__(self, load: Load) -> None:
        self._executor = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self._ready = self._executor.submit(_start, load)

    def wait_until_ready(self) -> None:
        try:
            self._ready.result()
        except BrokenProcessPool:
            raise ModelError(f"a worker ended while it loaded the model: {FEWER}") from None

    def do(self, part: Part) -> Future[list[Row]]:
        return self._executor.submit(_do, part.sources)

    def dismiss(self) -> None:
        """Once it has done what it does."""
        self._executor.shutdown(wait=True)

    def end(self) -> None:
        """At once, whatever it does."""
        if self._ready.done() and self._ready.exception() is None:
            with suppress(ProcessLookupError):
                os.kill(self._ready.result(), signal.SIGKILL)
        self._executor.shutdown(wait=False, cancel_futures=True)


def _start(load: Load) -> int:
    """In the process: load the model; returns the process's id."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the run, which ends its processes
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    _worker = Worker(load)
    return os.getpid()


def _end_with_the_run() -> None:
    run = parent_process()
    if run is not None:
        run.join()
    os._exit(1)


def _do(sources: tuple[Source, ...]) -> list[Row]:
    assert _worker is not None
    return _worker.rows(sources)


__all__ = ["Processes"]
