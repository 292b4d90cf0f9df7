"""What reading the risk off the decoder costs, beside the encoder and the decoding of the same window."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from whisper.decoding import DecodingOptions
from whisper.model import Whisper

import whisper_steer
from whisper_steer.audio.load import load_audio
from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.risk.states import Watch

SPOKEN = (60.5, 72.0)
"""seconds of the demonstration's recording in which somebody speaks"""
TIMES = 5


@torch.no_grad()
def cost(model: Whisper, block: int) -> dict[str, float]:
    """Seconds of processor time, medians: the encoder's, the decoder's for a window of speech, the risk's."""
    recording = load_audio(Path(whisper_steer.__file__).parent / "assets" / "demo.flac")
    start, end = (round(16000 * at) for at in SPOKEN)
    half = model.device.type != "cpu"
    mel = window_mel(recording[start:end], model.dims.n_mels)[None].to(
        model.device, torch.float16 if half else torch.float32
    )
    features = model.encoder(mel)
    options = DecodingOptions(language="en", fp16=half)
    (found,) = model.decode(features, options)
    watch = Watch(model, [block])
    return {
        "encoder": _seconds(lambda: model.encoder(mel)),
        "decoder": _seconds(lambda: model.decode(features, options)),
        "risk": _seconds(lambda: watch(features[0], found, options)),
        "tokens": len(found.tokens),
    }


def _seconds(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(TIMES):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return median(taken)


__all__ = ["cost"]
