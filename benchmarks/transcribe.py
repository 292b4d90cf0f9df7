"""Wall time of whole transcriptions against stock. ``python -m benchmarks.transcribe MODEL --minutes 2``

Speech, non-speech and one after the other (a minute each), through openai-whisper and faster-whisper, one window after
another and in batches, stock's also with Silero, each with and without steering; a row's ratio is to the stock of its
own runtime, in the same run, in turns. MODEL: an official name or a .pt. Steering is the artifact that ships for it,
or ``--steering``. The sounds are the built-in pack's, or ``--speech`` and ``--nonspeech``.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
import torch
import whisper

from benchmarks.common import RATE, mixed, sounds, steering_for
from whisper_steer import transcribe
from whisper_steer.errors import ArtifactError
from whisper_steer.eval.provenance import machine
from whisper_steer.faster import BatchedInferencePipeline, WhisperModel
from whisper_steer.formats.ct2_save import save_ct2
from whisper_steer.models.load import load_model
from whisper_steer.steer.steering import Steering

Run = Callable[[np.ndarray], str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--steering", type=Path)
    parser.add_argument("--minutes", type=float, default=1.0, help="of each kind of sound")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--nonspeech", type=Path)
    parser.add_argument("--kinds", default="speech,nonspeech,mixed")
    parser.add_argument("--runtimes", default="openai,faster,faster-vad,faster-batched")
    parser.add_argument("--compute-type", default="float32", help="of faster-whisper")
    parser.add_argument("--without-timestamps", action="store_true")
    parser.add_argument(
        "--no-fallback",
        action="store_true",
        help="temperature 0 only: stock's fallbacks sample at random, so that the work of two runs differs",
    )
    parser.add_argument("--max-suppressed-speech", type=float)
    options = parser.parse_args()
    logging.getLogger("faster_whisper").setLevel(logging.ERROR)
    model = load_model(options.model, "cpu")
    promise = options.max_suppressed_speech
    if options.steering:
        steering = Steering(options.steering, max_suppressed_speech=promise)
    else:
        shipped = steering_for(model.encoder, max_suppressed_speech=promise)
        if shipped is None:
            raise ArtifactError("no steering ships for this model: give --steering")
        steering = shipped
    folders = (options.speech, options.nonspeech)
    audio = {
        "speech": lambda: sounds("speech", options.minutes, options.speech),
        "nonspeech": lambda: sounds("nonspeech", options.minutes, options.nonspeech),
        "mixed": lambda: mixed(options.minutes, folders),
    }
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "ct2"
        save_ct2(model, folder, "float32")
        pairs = runtimes(model, folder, steering, options)
        print(
            f"{machine()}; {options.model}, steering {steering.artifact.name} at {steering.artifact.hook_point}"
        )
        print(f"\n{'sound':12}{'runtime':18}{'stock':>10}{'steered':>10}{'ratio':>20}{'characters':>22}")
        for kind in options.kinds.split(","):
            samples = audio[kind]()
            for name, (stock, steered) in pairs.items():
                times: tuple[list[float], list[float]] = ([], [])
                texts = ["", ""]
                for _ in range(options.repeats):
                    for i, run in enumerate((stock, steered)):
                        start = time.perf_counter()
                        texts[i] = run(samples)
                        times[i].append(time.perf_counter() - start)
                first, second = (statistics.median(each) for each in times)
                ratios = sorted(b / a for a, b in zip(*times, strict=True))
                spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
                print(
                    f"{kind:12}{name:18}{first:8.1f} s{second:8.1f} s{spread:>20}"
                    f"{len(texts[0]):>12} ->{len(texts[1]):>7}",
                    flush=True,
                )
    print(
        f"\n{options.minutes:g} min of each sound; {options.repeats} runs of each, stock and steered in turns: medians "
        "and the range of ratios; characters written by stock and steered"
    )


def runtimes(
    model: Any, folder: Path, steering: Steering, options: argparse.Namespace
) -> dict[str, tuple[Run, Run]]:
    """name -> (stock, steered); every run takes samples and returns the text."""
    threads = torch.get_num_threads()
    common: dict[str, Any] = {"language": "en", "without_timestamps": options.without_timestamps}
    if options.no_fallback:
        common["temperature"] = 0.0
    greedy: dict[str, Any] = {**common, "beam_size": 1}
    where: dict[str, Any] = {"device": "cpu", "compute_type": options.compute_type, "cpu_threads": threads}
    plain = faster_whisper.WhisperModel(str(folder), **where)
    steered = WhisperModel(folder, steering=steering, **where)

    def openai(samples: np.ndarray) -> str:
        return str(whisper.transcribe(model, samples, fp16=False, **common)["text"])

    def openai_steered(samples: np.ndarray) -> str:
        return str(transcribe(model, samples, steering=steering, fp16=False, **common)["text"])

    def faster(runner: Any, **more: Any) -> Run:
        return lambda samples: "".join(s.text for s in runner.transcribe(samples, **greedy, **more)[0])

    def windows(runner: Any) -> Run:
        def run(samples: np.ndarray) -> str:
            ends = range(0, len(samples), 30 * RATE)
            clips = [{"start": i / RATE, "end": min(i + 30 * RATE, len(samples)) / RATE} for i in ends]
            found, _ = runner.transcribe(
                samples, clip_timestamps=clips, vad_filter=False, batch_size=8, **greedy
            )
            return "".join(s.text for s in found)

        return run

    batched = faster(BatchedInferencePipeline(steered), batch_size=8)
    every: dict[str, tuple[Run, Run]] = {
        "openai": (openai, openai_steered),
        "faster": (faster(plain), faster(steered)),
        "faster-vad": (faster(plain, vad_filter=True), faster(steered)),
        "faster-batched": (windows(faster_whisper.BatchedInferencePipeline(plain)), batched),
        "faster-batched-vad": (
            faster(faster_whisper.BatchedInferencePipeline(plain), batch_size=8),
            batched,
        ),
    }
    return {name: every[name] for name in options.runtimes.split(",")}


if __name__ == "__main__":
    main()
