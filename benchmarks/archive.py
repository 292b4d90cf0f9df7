"""Hours of audio that a thread transcribes in an hour as ``whisper-steer archive`` does, with listening and without.

    python -m benchmarks.archive manifest.jsonl --minutes 5

Counted is the time that the processor spent (``time.process_time``), one thread, so that what else runs on the machine
does not count. Both decode what ``whisper-steer archive`` decodes by its defaults: beams of 5, fallback temperatures.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ["OMP_NUM_THREADS"] = "1"

import torch

from whisper_steer.archive.work import Transcribe
from whisper_steer.cli.archive import OURS, load_transcriber
from whisper_steer.cli.options import STOCK, defaults
from whisper_steer.data.load import load
from whisper_steer.data.recordings import recordings


def transcriber(backend: str, model: str, steering: str, compute_type: str) -> Transcribe:
    options = {name: value for name, value in defaults(STOCK).items() if name in OURS}
    options |= {"model": model, "threads": 1, "device": "cpu"}
    runtime = {"batched": False, "batch_size": 8, "vad_filter": None, "local_files_only": True}
    runtime["compute_type"] = compute_type
    steered = {"steering": None if steering == "none" else steering, "repetition_guard": None}
    return load_transcriber(backend, runtime, options, steered)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--styles", nargs="+", default=["pauses", "no-pauses"])
    parser.add_argument("--models", nargs="+", default=["tiny.en", "base"])
    parser.add_argument("--backends", nargs="+", default=["openai", "faster"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    clips = load(f"manifest:{given.manifest}")
    chosen = {}
    for style in given.styles:
        chosen[style], left = [], given.minutes * 60
        for made in recordings(clips, style, max(2, round(given.minutes)), seed=0):
            samples = made.samples()[: int(16000 * left)]
            chosen[style].append(samples)
            left -= len(samples) / 16000
            if left < 1:
                break
    print("| model | backend | recordings | listening | hours of audio an hour of one thread |", flush=True)
    print("|---|---|---|---|---|", flush=True)
    for model in given.models:
        for backend in given.backends:
            for steering in ("auto", "none"):
                run = transcriber(backend, model, steering, "int8" if backend == "faster" else "default")
                for style, audio in chosen.items():
                    run(audio[0][:80000])  # warm
                    start = time.process_time()
                    for samples in audio:
                        run(samples)
                    took = time.process_time() - start
                    speed = sum(map(len, audio)) / 16000 / took
                    listening = "yes" if steering == "auto" else "no"
                    print(f"| {model} | {backend} | {style} | {listening} | {speed:.1f} |", flush=True)


if __name__ == "__main__":
    main()
