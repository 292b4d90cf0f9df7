"""The first window of many clips decoded at once, then handed to openai-whisper's own loop as it asks for them.

A batch costs a quarter of the time of windows one by one. What comes of it is what openai-whisper writes: see
`whisper_steer.eval.curves.greedy`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from whisper.audio import N_SAMPLES
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.model import Whisper

from whisper_steer.data.clips import Audio, Clip
from whisper_steer.encoders.prefix import run_from
from whisper_steer.eval.curves.greedy import Greedy, Written
from whisper_steer.gate.hearing import Hearing
from whisper_steer.risk.states import Watch
from whisper_steer.runtimes.remember import Keeping, Remembering
from whisper_steer.steer.steering import Steering

BATCH = 8


@dataclass(frozen=True, eq=False)
class Heard:
    """A clip that was listened to."""

    clip: Clip
    samples: Audio
    hearing: Hearing
    mel: Tensor | None = None
    """(mels, 3000), of a clip of one window"""
    features: Tensor | None = None
    """(1500, state) of it"""
    written: Written | None = None
    """what is decoded from it greedily"""


def first_windows(model: Whisper, steering: Steering, clips: Iterable[Clip]) -> Iterator[Heard]:
    """The clips in their order; those of one window with what is written on it."""
    greedy = Greedy(model, "stock", torch.float32)
    rest = iter(clips)
    while batch := [_heard(model, steering, clip) for clip in islice(rest, BATCH)]:
        short = [heard for heard in batch if heard.features is not None]
        features = [heard.features for heard in short if heard.features is not None]
        found = iter(greedy(torch.stack(features), model.dims.n_text_ctx // 2) if features else [])
        for heard in batch:
            written = None if heard.features is None else next(found)
            yield Heard(heard.clip, heard.samples, heard.hearing, heard.mel, heard.features, written)


class Prepared(Remembering):
    """A model whose first window has been decoded."""

    def __init__(self, model: Whisper, heard: Heard, watch: Watch) -> None:
        super().__init__(model, watch=watch)
        self._heard = heard

    def decode(self, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        heard, first = self._heard, self._mel is None
        if first and heard.mel is not None and heard.written is not None and torch.equal(heard.mel, mel):
            assert heard.features is not None
            self._mel, self._features = mel, heard.features
            found = DecodingResult(heard.features, "en", temperature=0.0, **vars(heard.written))
            self._found = found, options
            return found
        return super().decode(mel, options)


@torch.no_grad()
def _heard(model: Whisper, steering: Steering, clip: Clip) -> Heard:
    samples = clip.samples()
    prefix = Keeping(model.encoder, steering.artifact.gate_point, fast=True)
    hearing = steering.listen(prefix, samples)
    if len(samples) > N_SAMPLES or prefix.mel is None or prefix.embedded is None:
        return Heard(clip, samples, hearing)
    features: Any = run_from(model.encoder, None, prefix.embedded)[0]
    return Heard(clip, samples, hearing, prefix.mel[0], features)


__all__ = ["Heard", "Prepared", "first_windows"]
