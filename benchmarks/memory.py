"""Memory by the length of the recording. ``python -m benchmarks.memory MODEL --minutes 1 10 60``

Peak memory of a fresh process that transcribes a WAV of so many minutes of non-speech, stock and steered, with the
decoder held to one token a window, so that an hour takes the encoder's time and no more. Anonymous memory is what the
process holds for itself, polled 50 times a second; pages of temporary files, which the system takes back when others
need them, are not in it. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.common import RATE
from whisper_steer.eval.provenance import machine

CODE = """
import re, threading, time
import whisper, whisper_steer
from benchmarks.common import OPEN, stand_in, steering_for
from whisper_steer.steer.steering import Steering
peak, done = 0, False
def watch():
    global peak
    while not done:
        with open("/proc/self/status") as status:
            peak = max(peak, int(re.search(r"RssAnon:\\s+(\\d+)", status.read()).group(1)))
        time.sleep(0.02)
model = whisper_steer.load_model({model!r}, "cpu")
watcher = threading.Thread(target=watch)
watcher.start()
options = dict(fp16=False, temperature=0.0, sample_len=1, without_timestamps=True, language="en")
if {steered}:
    steering = steering_for(model.encoder, max_suppressed_speech={promise})
    steering = steering or Steering(stand_in(model.encoder, threshold=OPEN))
    whisper_steer.transcribe(model, {path!r}, steering=steering, **options)
else:
    whisper.transcribe(model, whisper_steer.load_audio({path!r}).copy(), **options)
done = True
watcher.join()
print(peak / 1024)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1.0, 10.0])
    parser.add_argument("--max-suppressed-speech", type=float)
    options = parser.parse_args()
    print(f"{machine()}; {Path(options.model).name}\n\n{'minutes':>8}{'stock':>12}{'steered':>12}{'more':>8}")
    for minutes in options.minutes:
        with tempfile.TemporaryDirectory() as folder:
            path = noise(Path(folder) / "noise.wav", minutes)
            stock, steered = (peak(options, path, which) for which in (False, True))
        print(f"{minutes:8g}{stock:8.0f} MiB{steered:8.0f} MiB{steered / stock - 1:8.1%}", flush=True)


def noise(path: Path, minutes: float) -> Path:
    """White noise, written a minute at a time."""
    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for first in range(0, round(minutes * 60), 60):
            seconds = min(60, round(minutes * 60) - first)
            file.write(rng.standard_normal(seconds * RATE, dtype=np.float32) * 0.01)
    return path


def peak(options: argparse.Namespace, path: Path, steered: bool) -> float:
    """MiB."""
    promise = options.max_suppressed_speech
    code = CODE.format(model=options.model, path=str(path), steered=steered, promise=promise)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
