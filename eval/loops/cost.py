"""What watching costs where nothing loops."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import whisper
from whisper.decoding import LogitFilter
from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.guard.decode import Guarded

from .collect import OPTIONS, features_of


class _Timed(LogitFilter):  # type: ignore[misc]
    def __init__(self, inner: LogitFilter) -> None:
        self._inner, self.seconds = inner, 0.0

    def apply(self, logits: Any, tokens: Any) -> None:
        begun = time.process_time()
        self._inner.apply(logits, tokens)
        self.seconds += time.process_time() - begun


def watched(model: Whisper, clips: Sequence[Clip]) -> str:
    """A sentence: the watch's share of the CPU time of decoding, passes beyond stock's, tokens that differ."""
    spent = whole = 0.0
    passes = differ = 0
    for clip in clips:
        features = features_of(model, clip)
        task = Guarded(model, OPTIONS)
        timer = _Timed(task.logit_filters[-1])
        task.logit_filters[-1] = timer
        begun = time.process_time()
        (found,) = task.run(features[None])
        seconds = time.process_time() - begun
        begun = time.process_time()
        loop = task.loop_in(found.tokens)
        spent += timer.seconds + time.process_time() - begun
        whole += seconds
        passes += task.passes
        differ += found.tokens != whisper.decode(model, features, OPTIONS).tokens or loop is not None
    return (
        f"{len(clips)} windows: the watch takes {100 * spent / whole:.2f} % of the decoder's CPU time, {passes} passes "
        f"to look at the attention, {differ} windows with other tokens than stock's"
    )
