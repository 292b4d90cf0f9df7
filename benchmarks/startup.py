"""What ``import whisper_steer`` and an artifact add to ``import whisper``. ``python -m benchmarks.startup [ARTIFACT]``

Medians over fresh processes. Each measures its own parts one after another: the import of whisper takes seconds and
varies by more than all that comes after it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from whisper.model import AudioEncoder

from benchmarks.common import stand_in
from whisper_steer.eval.provenance import machine

RUNS = 15
CODE = """
from time import perf_counter as now
times = [now()]
import whisper
times.append(now())
import whisper_steer; whisper_steer.transcribe; whisper_steer.load_model
times.append(now())
whisper_steer.Steering({path!r}, max_suppressed_speech=0.5)
times.append(now())
print(*(after - before for before, after in zip(times, times[1:])))
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        if len(sys.argv) > 1:
            path = Path(sys.argv[1])
        else:  # of the size of base
            path = stand_in(AudioEncoder(80, 1500, 512, 8, 6)).save(Path(scratch) / "stand-in")
        runs = [measured(path) for _ in range(RUNS)]
    print(f"{machine()}; {RUNS} processes, median (range)")
    for name, times in (
        ("import whisper", [run[0] for run in runs]),
        ("and whisper_steer, what transcribe needs", [run[1] for run in runs]),
        ("and an artifact", [run[2] for run in runs]),
        ("beyond whisper's own import (goal: under 50 ms)", [run[1] + run[2] for run in runs]),
    ):
        middle, low, high = (1e3 * f(times) for f in (statistics.median, min, max))
        print(f"{name:48}{middle:7.0f} ms ({low:.0f} to {high:.0f})")


def measured(artifact: Path) -> list[float]:
    """Seconds of the three steps in a fresh interpreter."""
    code = CODE.format(path=str(artifact))
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return [float(each) for each in done.stdout.split()]


if __name__ == "__main__":
    main()
