"""How strongly each method should act: the smallest strength that leaves least text on held-out non-speech.

The windows are full: behind a short clip lies the padding, on which many models stay silent by themselves.
"""

from __future__ import annotations

from typing import Any

import torch
import whisper
from torch import Tensor
from tqdm import tqdm
from whisper.model import Whisper

from whisper_steer.encoders.prefix import run_from
from whisper_steer.encoders.record import Activations
from whisper_steer.steer.methods import METHODS, Edits

BATCH = 8


@torch.no_grad()
def texts(model: Whisper, point: str, hidden: Tensor, sample_len: int = 24) -> list[str]:
    """What the decoder writes, greedily, from activations (n, 1500, n_state), an empty result allowed."""
    options = whisper.DecodingOptions(
        language="en",
        without_timestamps=True,
        suppress_blank=False,
        length_penalty=0.0,
        sample_len=sample_len,
        fp16=False,
    )
    features = run_from(model.encoder, point, hidden)
    return [result.text for result in whisper.decode(model, features, options)]


def choose(model: Whisper, point: str, edits: Edits, nonspeech: Activations) -> tuple[dict[str, float], Any]:
    """Strength for each method, and the share of non-speech windows with text that each strength leaves.

    Strengths behind the first that leaves none are not tried.
    """
    hidden = torch.stack([nonspeech.frames(i) for i in range(len(nonspeech.speech))])
    shares: dict[str, dict[str, float]] = {"none": {"0": _share(model, point, hidden)}}
    for name, method in tqdm(METHODS.items(), desc="strengths", unit="method"):
        shares[name] = {}
        for strength in method.grid:
            steered = torch.cat([h[None] + method(h[None], edits, strength) for h in hidden])
            shares[name][str(strength)] = left = _share(model, point, steered)
            if not left:
                break
    best = {name: float(min(shares[name], key=lambda s: (shares[name][s], float(s)))) for name in METHODS}
    return best, shares


def _share(model: Whisper, point: str, hidden: Tensor) -> float:
    written = [text for part in hidden.split(BATCH) for text in texts(model, point, part)]
    return sum(bool(text.strip()) for text in written) / len(written)
