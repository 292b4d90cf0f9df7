"""If these fail, a node that is lost takes recordings with it, or a recording that kills its worker stops a cluster."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import soundfile
from archive_material import DEADLY, fails, light, read, slow, sound

from whisper_steer.archive.on_ray import RayPool
from whisper_steer.archive.run import run
from whisper_steer.errors import ModelError, UsageError

ray = pytest.importorskip("ray", reason="pip install '.[ray]'")
pytest.importorskip("ray.data", reason="pip install '.[ray]'")

pytestmark = pytest.mark.filterwarnings("ignore")  # of Ray
TESTS = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without room for work, and two nodes of one processor each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", str(TESTS))
        patch.setenv("RAY_worker_niceness", "0")  # 15 by default: never served on a busy machine
        yield from _cluster(Cluster)


def _cluster(Cluster: Any) -> Iterator[Any]:
    try:
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        made.add_node(num_cpus=1)
        made.add_node(num_cpus=1)
        made.wait_for_nodes()
    except Exception as error:  # of Ray: no room in /dev/shm, no sockets
        pytest.skip(f"Ray cannot start a cluster on this machine: {error}")
    yield made
    ray.shutdown()
    made.shutdown()


def many(folder: Path, count: int) -> Path:
    folder.mkdir()
    for i in range(count):
        soundfile.write(folder / f"{i:02d}.wav", sound(1 + i / 100, i), 16000)
    return folder


def test_a_node_killed_in_the_middle_loses_no_recording(tmp_path: Path, cluster: Any) -> None:
    given, log = many(tmp_path / "in", 24), tmp_path / "log"
    victim = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    found: list[str] = []

    def kill_it() -> None:
        while (
            not any(line.startswith(victim.node_id) for line in log.read_text().split("\n"))
            if log.exists()
            else True
        ):
            time.sleep(0.1)
        found.append(victim.node_id)
        cluster.remove_node(victim, allow_graceful=False)

    killer = threading.Thread(target=kill_it, daemon=True)
    killer.start()
    pool = RayPool(partial(slow, log), cluster.address, None, 1, 0)
    report = run(str(given), tmp_path / "out", {}, pool, 1.0, print)
    killer.join()
    rows = read(tmp_path / "out" / "manifest.jsonl")
    assert [Path(row["audio_filepath"]).name for row in rows] == [f"{i:02d}.wav" for i in range(24)]
    assert [row["text"] for row in rows] == [f"{16000 + 160 * i} samples" for i in range(24)]
    assert report.archive.bad == 0
    nodes = Counter(line.split()[0] for line in log.read_text().splitlines())
    assert found == [victim.node_id] and len(nodes) == 3


@pytest.mark.slow
def test_a_recording_that_kills_its_actor_costs_itself(tmp_path: Path, cluster: Any) -> None:
    given = many(tmp_path / "in", 3)
    soundfile.write(given / "01.wav", sound(DEADLY / 16000, 0), 16000)
    pool = RayPool(light, cluster.address, 2, 1, 0)
    run(str(given), tmp_path / "out", {}, pool, 1.5, print)
    rows = read(tmp_path / "out" / "manifest.jsonl")
    assert [Path(row["audio_filepath"]).name for row in rows] == ["00.wav", "02.wav"]
    (error,) = read(tmp_path / "out" / "errors.jsonl")
    assert error["error"] == "a worker was lost over it, twice"


def test_what_cannot_be_is_told_in_one_line(tmp_path: Path, cluster: Any) -> None:
    given = many(tmp_path / "in", 1)
    with pytest.raises(ModelError, match="no such model"):
        run(str(given), tmp_path / "a", {}, RayPool(fails, cluster.address, 1, 1, 0), 10, print)
    with pytest.raises(UsageError, match="no room"):
        run(str(given), tmp_path / "b", {}, RayPool(light, cluster.address, 1, 1, 1), 10, print)
