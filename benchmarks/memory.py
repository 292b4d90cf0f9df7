"""Memory by the length of the recording. ``python -m benchmarks.memory MODEL --minutes 1 10 60``

Peak resident memory of a fresh process that transcribes so many minutes of non-speech, stock and steered, with the
decoder held to one token a window, so that an hour takes the encoder's time and no more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.common import machine

CODE = """
import resource, sys
import numpy as np, whisper, whisper_steer
from whisper_steer.steering import Steering
model = whisper_steer.load_model({model!r}, "cpu")
from benchmarks.common import OPEN, stand_in, steering_for
samples = np.random.default_rng(0).standard_normal(int({minutes} * 60 * 16000), dtype=np.float32) * 0.01
options = dict(fp16=False, temperature=0.0, sample_len=1, without_timestamps=True, language="en")
if {steered}:
    steering = steering_for(model.encoder, max_suppressed_speech={promise})
    steering = steering or Steering(stand_in(model.encoder, threshold=OPEN))
    whisper_steer.transcribe(model, samples, steering=steering, **options)
else:
    whisper.transcribe(model, samples, **options)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--max-suppressed-speech", type=float)
    options = parser.parse_args()
    print(f"{machine()}; {Path(options.model).name}\n\n{'minutes':>8}{'stock':>12}{'steered':>12}{'more':>8}")
    for minutes in options.minutes:
        stock, steered = (peak(options, minutes, which) for which in (False, True))
        print(f"{minutes:8g}{stock:8.0f} MiB{steered:8.0f} MiB{steered / stock - 1:8.1%}", flush=True)


def peak(options: argparse.Namespace, minutes: float, steered: bool) -> float:
    """MiB."""
    code = CODE.format(
        model=options.model, minutes=minutes, steered=steered, promise=options.max_suppressed_speech
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
