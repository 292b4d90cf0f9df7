"""Workers on a Ray cluster: an actor pool of Ray Data, each actor with one loaded model.

Ray Data does what an engine does: it starts actors where there is room, hands them parts, holds back where they are
slow, and starts others where some were lost. An actor is not restarted in its place: where its node is gone there may
be no room for it, and its parts would wait for ever. They are given up, and the run hands them in again.

Every node has to see the recordings under the same paths, and has to have whisper-steer and the weights; rows come back
to the run, which alone writes.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Iterable, Iterator
from importlib import import_module
from types import TracebackType
from typing import Any

from whisper_steer.archive.plan import Part
from whisper_steer.archive.work import Load, Row, Worker
from whisper_steer.errors import MissingPackageError, ModelError, UsageError, WhisperSteerError

START_DEATHS = 8
"""actors that may be lost one after another while they start, as on a node that is gone and not missed yet"""


class RayPool:
    """A context in which an actor pool waits for parts.

    address: as of ``ray.init``: HOST:PORT of a cluster, "auto" for the one of this machine, "local" for a new one.
    workers: actors; None is as many as the cluster has room for. cpus, gpus: of each.
    """

    def __init__(self, load: Load, address: str, workers: int | None, cpus: int, gpus: int) -> None:
        self._load, self._address, self._workers = load, address, workers
        self._needs = {"num_cpus": cpus, "num_gpus": gpus}
        self._ours = False

    def __enter__(self) -> RayPool:
        """Connect, and load the model once on the cluster to see that it can be. Raises `UsageError` where there is no
        cluster or no room on it, `MissingPackageError`, and what loading raises."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            self._ray: Any = import_module("ray")
            self._data: Any = import_module("ray.data")
        except ImportError:
            raise MissingPackageError("--ray needs Ray: pip install 'whisper-steer[ray]'") from None
        ray = self._ray
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what is lost is told by the run
        if not ray.is_initialized():
            try:
                ray.init(self._address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError, AssertionError) as error:
                why = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise UsageError(
                    f"no Ray cluster at {self._address} ({why}): start one with `ray start --head`"
                ) from None
            self._ours = True
        if not self._room():
            has = ray.cluster_resources()
            self._end()
            raise UsageError(
                f"the cluster has no room for a worker of {self._needs}: it has {has.get('CPU', 0):g} processors "
                f"and {has.get('GPU', 0):g} GPUs"
            )
        try:
            ray.get(ray.remote(**self._needs)(_try).remote(self._load))
        except ray.exceptions.RayError as error:
            self._end()
            raise _in_one_line(error) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def map(self, parts: Iterable[Part]) -> Iterator[tuple[Part, list[Row] | None]]:
        """The rows of each part, as they are finished; in the end None for those whose actor or node was lost.

        Raises `ModelError` where the cluster is lost.
        """
        left = dict(enumerate(parts))
        given = [{"number": number, "part": pickle.dumps(part)} for number, part in left.items()]
        context = self._data.DataContext.get_current()
        context.enable_progress_bars = False
        context.max_errored_blocks = -1
        context.max_consecutive_actor_init_deaths = START_DEATHS
        workers = max(1, self._room())
        pool = self._data.ActorPoolStrategy(
            min_size=1,
            initial_size=workers,
            max_size=workers,
            max_tasks_in_flight_per_actor=1,  # who holds none but the part it does is to blame for it
        )
        data = self._data.from_items(given, override_num_blocks=len(given)).map(
            _Actor, fn_constructor_args=(self._load,), compute=pool, max_restarts=0, **self._needs
        )
        try:
            for row in data.iter_rows():
                yield left.pop(row["number"]), json.loads(row["rows"])
        except self._ray.exceptions.RayError as error:
            raise _in_one_line(error) from None
        yield from ((part, None) for part in left.values())

    def _room(self) -> int:
        """Actors that the cluster has room for now, at most those that are asked for."""
        has, names = self._ray.cluster_resources(), {"num_cpus": "CPU", "num_gpus": "GPU"}
        room = int(min(has.get(names[name], 0.0) // need for name, need in self._needs.items() if need))
        return min(self._workers or room, room)

    def _end(self) -> None:
        if self._ours:
            self._ray.shutdown()


class _Actor:
    """A worker, as Ray Data calls it."""

    def __init__(self, load: Load) -> None:
        self._worker = Worker(load)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        part = pickle.loads(row["part"])
        return {"number": row["number"], "rows": json.dumps(self._worker.rows(part.sources))}


def _try(load: Load) -> None:
    load()


def _in_one_line(error: Exception) -> WhisperSteerError:
    cause = getattr(error, "cause", None)
    if isinstance(cause, WhisperSteerError):
        return cause
    why = (str(cause or error).strip().splitlines() or [""])[-1]
    return ModelError(
        f"Ray gave up ({type(cause or error).__name__}: {why}): "
        "mend the cluster and run the same again, what is finished is kept"
    )


__all__ = ["RayPool"]
