"""What listening costs against transcribing. ``python -m benchmarks.listening_cost small large-v3``

Random weights of a model's size: seconds of processor time to listen to a minute of audio up to a block, and those
that stock takes to encode and to decode the same minute, two windows of `TOKENS` tokens each; random weights write as
long as they may. By default up to a quarter of the blocks, half of them, and through all.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from whisper.audio import N_SAMPLES
from whisper.decoding import DecodingOptions, decode
from whisper.model import ModelDimensions, Whisper

from benchmarks.common import stand_in
from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Audio
from whisper_steer.eval.provenance import machine
from whisper_steer.steer.steering import Steering

SIZES = {
    "tiny": (80, 384, 6, 4, 4),
    "base": (80, 512, 8, 6, 6),
    "small": (80, 768, 12, 12, 12),
    "medium": (80, 1024, 16, 24, 24),
    "large-v3": (128, 1280, 20, 32, 32),
    "turbo": (128, 1280, 20, 32, 4),
}
"""mel bins, width, heads, blocks of the encoder and of the decoder"""
TOKENS = 75
"""of half a minute of speech"""
WINDOWS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("sizes", nargs="+", choices=list(SIZES))
    parser.add_argument(
        "--points", nargs="+", help="hook points to listen up to, such as blocks.2 or ln_post"
    )
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    audio = (0.1 * rng.standard_normal(WINDOWS * N_SAMPLES)).astype(np.float32)
    print(f"{machine()}; seconds of processor time for {WINDOWS} windows\n")
    print(
        "| size | stock encodes | stock decodes | listening up to | takes | of stock |\n|---|---|---|---|---|---|"
    )
    for size in options.sizes:
        for line in costs(size, audio, options.points):
            print(f"| {size} | {line} |", flush=True)


@torch.no_grad()
def costs(size: str, audio: Audio, points: list[str] | None) -> Iterator[str]:
    """The rest of the lines of the table for one size."""
    model = random_model(size)
    encoder, n = model.encoder, model.dims.n_audio_layer
    mels = [
        window_mel(audio[at : at + N_SAMPLES], model.dims.n_mels) for at in range(0, len(audio), N_SAMPLES)
    ]
    features: list[Tensor] = []
    encoding = cpu(lambda: features.extend(encoder(mel[None])[0] for mel in mels))
    wanted = DecodingOptions(language="en", fp16=False, sample_len=TOKENS)
    decoding = cpu(lambda: [decode(model, each, wanted) for each in features])
    for point in points or [f"blocks.{n // 4 - 1}", f"blocks.{n // 2 - 1}", "ln_post"]:
        steering = Steering(stand_in(encoder, gate_point=point))
        listening = cpu(partial(steering.listen, steering.prefix(encoder), audio))
        share = listening / (encoding + decoding)
        yield f"{encoding:.2f} | {decoding:.2f} | {point} | {listening:.2f} | {share:.1%}"


def random_model(size: str) -> Whisper:
    n_mels, n_state, n_head, n_audio, n_text = SIZES[size]
    vocabulary = 51866 if n_mels == 128 else 51865
    return Whisper(
        ModelDimensions(n_mels, 1500, n_state, n_head, n_audio, vocabulary, 448, n_state, n_head, n_text)
    ).eval()


def cpu(run: Callable[[], Any]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


if __name__ == "__main__":
    main()
