"""The guard for CTranslate2, which takes no hooks: a window that loops is decoded once more.

It stands in for a `ctranslate2.models.Whisper`. Where the tokens of a result repeat, CTranslate2's own alignment says
whether the repetitions were heard; if not, the window is decoded again with ``no_repeat_ngram_size``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch

from whisper_steer.guard.attention import goes_on, places_of
from whisper_steer.guard.loops import Looking, Loop
from whisper_steer.guard.mend import SIZE
from whisper_steer.models.attention import FRAME_SECONDS

FRAMES = 3000
"""of the spectrogram of a window"""


class Guarding:
    """A `ctranslate2.models.Whisper` whose ``generate`` mends loops; all else is the model's.

    first_time, eot: tokens from ``first_time`` on are timestamps, those from ``eot`` on are no text.
    """

    def __init__(self, model: Any, first_time: int, eot: int) -> None:
        self._model, self._first_time, self._eot = model, first_time, eot
        self._mended: set[float] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, features: Any, prompts: list[list[int]], **options: Any) -> list[Any]:
        """CTranslate2's results for a batch of windows, those that loop decoded again."""
        found = self._model.generate(features, prompts, **options)
        if options.get("no_repeat_ngram_size"):
            return list(found)
        looping = [i for i in range(len(found)) if self._loops(features, prompts, found, i)]
        if not looping:
            return list(found)
        again = self._model.generate(features, prompts, **{**options, "no_repeat_ngram_size": SIZE})
        self._mended |= {again[i].no_speech_prob for i in looping}
        return [again[i] if i in looping else each for i, each in enumerate(found)]

    def loop_mended(self, no_speech_prob: float) -> bool:
        """Whether a segment of that probability lies in a window in which a loop was mended."""
        return no_speech_prob in self._mended

    def _loops(self, features: Any, prompts: Any, found: Sequence[Any], row: int) -> bool:
        heard: list[float] = []

        def is_loop(_sampled: Sequence[int], loop: Loop) -> bool:
            heard[:] = heard or self._heard(features, prompts, found, row)
            return not goes_on(places_of(torch.tensor(heard), loop, 0), loop.period)

        return Looking(self._first_time, is_loop).first(found[row].sequences_ids[0]) is not None

    def _heard(self, features: Any, prompts: list[list[int]], found: Sequence[Any], row: int) -> list[float]:
        """Seconds at which each token of a row was heard, by CTranslate2's alignment; a timestamp has those before."""
        texts = [[token for token in each.sequences_ids[0] if token < self._eot] for each in found]
        texts = [text or [0] for text in texts]
        start = prompts[row][prompts[row].index(self._eot + 1) :]  # start of transcript, language, task
        start = list(takewhile(lambda token: self._eot < token < self._first_time - 1, start))
        aligned = self._model.align(features, start, texts, [FRAMES] * len(texts))[row]
        frames: dict[int, list[int]] = {}
        for token, frame in aligned.alignments:
            frames.setdefault(token, []).append(frame)
        heard: list[float] = []
        last, i = 0.0, 0
        for token in found[row].sequences_ids[0]:
            if token < self._eot:
                at = frames.get(i, [])
                last = FRAME_SECONDS * sum(at) / len(at) if at else last
                i += 1
            heard.append(last)
        return heard


__all__ = ["Guarding"]
