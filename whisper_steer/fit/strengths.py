"""How strongly each method should act: the smallest strength that leaves least on held-out non-speech.

Two things may be left of a window: text, and a segment that Whisper's own rule keeps because the decoder ends with
confidence. Their sum counts. The windows are full: behind a short clip lies the padding, on which many
models stay silent by themselves.
"""

from __future__ import annotations

from typing import Any

import torch
import whisper
from torch import Tensor
from tqdm import tqdm
from whisper.decoding import DecodingResult
from whisper.model import Whisper

from whisper_steer.encoders.prefix import run_from
from whisper_steer.encoders.record import Activations
from whisper_steer.steer.methods import METHODS, Edits

BATCH = 8
NO_SPEECH_THRESHOLD, LOGPROB_THRESHOLD = 0.6, -1.0
"""of openai-whisper's `transcribe`, by default"""


def texts(model: Whisper, point: str, hidden: Tensor) -> list[str]:
    """What the decoder writes, greedily, from activations (n, 1500, n_state), an empty result allowed."""
    found = _decoded(model, point, hidden, without_timestamps=True, suppress_blank=False)
    return [result.text for result in found]


def choose(model: Whisper, point: str, edits: Edits, nonspeech: Activations) -> tuple[dict[str, float], Any]:
    """Strength for each method, and the shares of non-speech windows that each strength leaves: with ``text`` where
    an empty result is allowed, and ``kept`` by Whisper's rule with stock's options.

    Strengths behind the first that leaves nothing are not tried.
    """
    hidden = torch.stack([nonspeech.frames(i) for i in range(len(nonspeech.speech))])
    shares: dict[str, dict[str, dict[str, float]]] = {"none": {"0": _left(model, point, hidden)}}
    for name, method in tqdm(METHODS.items(), desc="strengths", unit="method"):
        shares[name] = {}
        for strength in method.grid:
            steered = torch.cat([h[None] + method(h[None], edits, strength) for h in hidden])
            shares[name][str(strength)] = left = _left(model, point, steered)
            if not any(left.values()):
                break
    best = {
        name: float(min(shares[name], key=lambda s: (sum(shares[name][s].values()), float(s))))
        for name in METHODS
    }
    return best, shares


def _left(model: Whisper, point: str, hidden: Tensor) -> dict[str, float]:
    parts = hidden.split(BATCH)
    written = [text for part in parts for text in texts(model, point, part)]
    stock = [result for part in parts for result in _decoded(model, point, part)]
    kept = [not skipped_by_whisper(result.no_speech_prob, result.avg_logprob) for result in stock]
    return {
        "text": sum(bool(text.strip()) for text in written) / len(hidden),
        "kept": sum(kept) / len(hidden),
    }


def skipped_by_whisper(no_speech_prob: float, avg_logprob: float) -> bool:
    """openai-whisper's rule for dropping a window: both must hold."""
    return no_speech_prob > NO_SPEECH_THRESHOLD and not avg_logprob > LOGPROB_THRESHOLD


@torch.no_grad()
def _decoded(model: Whisper, point: str, hidden: Tensor, **options: bool) -> list[DecodingResult]:
    """The first 24 tokens, greedily."""
    settings = whisper.DecodingOptions(
        language="en", length_penalty=0.0, sample_len=24, fp16=False, **options
    )
    return list(whisper.decode(model, run_from(model.encoder, point, hidden), settings))
