"""Work for the model, first come, first served: so much at once, the rest waits, and what nobody wants is dropped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

_of_this_thread = threading.local()


class Dropped(Exception):
    """Nobody waits for the work of this thread any more."""


def stop_if_dropped(*_: Any) -> None:
    """Raise `Dropped` in a thread whose job has been dropped; callable as a forward hook of PyTorch."""
    job: Job | None = getattr(_of_this_thread, "job", None)
    if job is not None and job.dropped:
        raise Dropped


class Job:
    """One piece of work. ``future``: what comes of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._stop = threading.Event()
        self.future: Future[Any]
        self.started = False

    def __call__(self) -> Any:
        self.started = True
        _of_this_thread.job = self
        try:
            stop_if_dropped()
            return self._work()
        finally:
            _of_this_thread.job = None

    @property
    def dropped(self) -> bool:
        return self._stop.is_set()

    def drop(self) -> None:
        """Nobody waits for it: it leaves the queue, or ends at the next `stop_if_dropped`."""
        self._stop.set()
        self.future.cancel()


class Jobs:
    """A queue before ``at_once`` threads."""

    def __init__(self, at_once: int) -> None:
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="job")
        self._jobs: set[Job] = set()
        self._changing = threading.Lock()

    def submit(self, work: Callable[[], Any]) -> Job:
        """Put work at the end of the queue."""
        job = Job(work)
        with self._changing:
            self._jobs.add(job)
        job.future = self._threads.submit(job)
        job.future.add_done_callback(lambda _: self._forget(job))
        return job

    def counts(self) -> dict[str, int]:
        """How many are in work, and how many wait."""
        with self._changing:
            running = sum(job.started for job in self._jobs)
            return {"running": running, "waiting": len(self._jobs) - running}

    def close(self) -> None:
        """Drop everything, and wait until what is in work has ended."""
        with self._changing:
            left = list(self._jobs)
        for job in left:
            job.drop()
        self._threads.shutdown()

    def _forget(self, job: Job) -> None:
        with self._changing:
            self._jobs.discard(job)


__all__ = ["Dropped", "Job", "Jobs", "stop_if_dropped"]
