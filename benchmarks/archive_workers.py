"""How the work of ``whisper-steer archive`` spreads over workers that wait for each recording instead of computing.

    python -m benchmarks.archive_workers --wait 1 --recordings 48

What a real model makes of more workers depends on the processors that they find; this shows what parts, processes, Ray
and writing cost beside it. With ``--ray`` each worker is a node of its own of a cluster on this machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from whisper_steer.archive.local import Processes
from whisper_steer.archive.on_ray import RayPool
from whisper_steer.archive.run import run
from whisper_steer.archive.work import Transcribe


def waiting(seconds: float) -> Transcribe:
    """A model that takes so long for every recording."""

    def transcribe(samples: Any) -> dict[str, Any]:
        time.sleep(seconds)
        return {"text": "", "language": "en", "segments": []}

    return transcribe


@contextmanager
def cluster(nodes: int) -> Iterator[str]:
    """A Ray cluster of so many nodes with a processor each, and a head without one."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(nodes):
        made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made.address
    ray.shutdown()
    made.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--wait", type=float, default=1.0)
    parser.add_argument("--recordings", type=int, default=48)
    parser.add_argument("--ray", action="store_true")
    given = parser.parse_args()
    print("| workers | recordings | seconds | recordings a second |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "in").mkdir()
        for i in range(given.recordings):
            soundfile.write(folder / "in" / f"{i:03d}.wav", np.zeros(16000), 16000)
        load = partial(waiting, given.wait)
        for n in given.workers:
            out = folder / f"out{n}"
            if given.ray:
                with cluster(n) as address:
                    report = run(str(folder / "in"), out, {}, RayPool(load, address, n, 1, 0), 1.0, str)
            else:
                report = run(str(folder / "in"), out, {}, Processes(load, n), 1.0, str)
            speed = given.recordings / report.took
            print(f"| {n} | {given.recordings} | {report.took:.1f} | {speed:.2f} |", flush=True)


if __name__ == "__main__":
    main()
