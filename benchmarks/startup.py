"""What ``import whisper_steer`` and an artifact add to ``import whisper``. ``python -m benchmarks.startup [ARTIFACT]``

Every figure is the median over fresh processes.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from whisper.model import AudioEncoder

from benchmarks.common import machine, stand_in

RUNS = 7


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        if len(sys.argv) > 1:
            path = Path(sys.argv[1])
        else:  # of the size of base
            path = stand_in(AudioEncoder(80, 1500, 512, 8, 6)).save(Path(scratch) / "stand-in")
        print(machine())
        alone = measured("import whisper")
        ours = measured("import whisper, whisper_steer; whisper_steer.transcribe; whisper_steer.load_model")
        loaded = measured(
            "import whisper, whisper_steer; whisper_steer.transcribe; whisper_steer.load_model\n"
            f"whisper_steer.Steering({str(path)!r}, max_suppressed_speech=0.5)"
        )
        print(f"import whisper{'':36}{alone * 1e3:7.0f} ms")
        print(f"and whisper_steer, what transcribe needs{'':10}{(ours - alone) * 1e3:+7.0f} ms")
        print(f"and an artifact{'':35}{(loaded - ours) * 1e3:+7.0f} ms")
        print(f"beyond whisper's own import{'':23}{(loaded - alone) * 1e3:+7.0f} ms (goal: under 50 ms)")


def measured(code: str) -> float:
    """Seconds that the code takes in a fresh interpreter, whose own start is not counted."""
    script = f"import time; start = time.perf_counter()\n{code}\nprint(time.perf_counter() - start)"
    runs = [
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
        for _ in range(RUNS)
    ]
    return statistics.median(float(run) for run in runs)


if __name__ == "__main__":
    main()
