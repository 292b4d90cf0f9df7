"""The guard for CTranslate2, which takes no hooks: it looks at finished windows.

It stands in for a `ctranslate2.models.Whisper`. Where the tokens of a result repeat, CTranslate2's own alignment says
whether the repetitions were heard. If not, the text ends behind the first unit and faster-whisper's own loop reads on
from there; where windows are decoded side by side and none can follow, they are decoded again with
``no_repeat_ngram_size``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

import torch

from whisper_steer.guard.attention import NOBODY, goes_on, places_of
from whisper_steer.guard.loops import Looking, Loop, Unit
from whisper_steer.guard.mend import SIZE, STEP
from whisper_steer.models.attention import FRAME_SECONDS

FRAMES = 3000
"""of the spectrogram of a window"""


@dataclass(frozen=True)
class Result:
    """What faster-whisper reads of a `ctranslate2.models.WhisperGenerationResult`."""

    sequences_ids: list[list[int]]
    scores: list[float]
    no_speech_prob: float


@dataclass
class _Heard:
    """Of the tokens of a result: when each was heard (seconds; a timestamp as what stands before it), and the
    probabilities of those that are text."""

    at: list[float]
    probabilities: list[float]


@dataclass
class Guarding:
    """A `ctranslate2.models.Whisper` whose ``generate`` mends loops, for one transcription; all else is the model's."""

    model: Any
    first_time: int
    """tokens from there on are timestamps"""
    eot: int
    """end of text; tokens before it are text"""
    reads_on: bool = True
    """windows are decoded one after another, each from where the last one ended"""
    _mended: set[float] = field(default_factory=set)
    _features: Any = None
    _unit: Unit | None = None
    _before: Unit | None = None
    """units mended in this window and in an earlier one"""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def generate(self, features: Any, prompts: list[list[int]], **options: Any) -> list[Any]:
        """CTranslate2's results for a batch of windows, those that loop mended."""
        if features is not self._features:  # else the same window at another temperature
            self._features, self._before, self._unit = features, self._unit or self._before, None
        found = list(self.model.generate(features, prompts, **options))
        if options.get("no_repeat_ngram_size"):
            return found
        looping = {i: seen for i in range(len(found)) if (seen := self._loop(features, prompts, found, i))}
        if looping and not self.reads_on:
            again = self.model.generate(features, prompts, **{**options, "no_repeat_ngram_size": SIZE})
            found = [again[i] if i in looping else each for i, each in enumerate(found)]
        elif looping:
            power = float(options.get("length_penalty", 1.0))
            for i, (loop, heard) in looping.items():
                found[i] = self._ended(found[i], prompts[i], loop, heard, power)
        self._mended |= {found[i].no_speech_prob for i in looping}
        return found

    def loop_mended(self, no_speech_prob: float) -> bool:
        """Whether a segment of that probability lies in a window in which a loop was mended."""
        return no_speech_prob in self._mended

    def _loop(
        self, features: Any, prompts: Any, found: Sequence[Any], row: int
    ) -> tuple[Loop, _Heard] | None:
        heard: list[_Heard] = []
        nobody = found[row].no_speech_prob > NOBODY

        def is_loop(_sampled: Sequence[int], loop: Loop) -> bool:
            heard[:] = heard or [self._heard(features, prompts, found, row)]
            return nobody or not goes_on(places_of(torch.tensor(heard[0].at), loop, 0), loop.period)

        loop = Looking(self.first_time, is_loop).first(found[row].sequences_ids[0])
        return None if loop is None else (loop, heard[0])

    def _ended(self, found: Any, prompt: list[int], loop: Loop, heard: _Heard, power: float) -> Result:
        """The first unit and, twice, the time written behind it, else that at which its last token was heard.

        The next window goes on from there, `STEP` seconds behind this one's start or more. Where the unit is that of an
        earlier window, nothing follows.
        """
        tokens: list[int] = found.sequences_ids[0][: loop.kept]
        unit = loop.unit(tokens)
        again, self._unit = unit == self._before, unit
        texts = sum(token < self.eot for token in tokens)
        logprob = sum(math.log(max(p, 1e-10)) for p in heard.probabilities[:texts]) / max(1, texts)
        if self.first_time - 1 not in prompt:
            end = self.first_time + round(heard.at[loop.kept - 1] / FRAME_SECONDS) + 1
            after = found.sequences_ids[0][loop.kept :]
            end = next((token for token in after if token >= self.first_time), end)
            begun = max((token for token in tokens if token >= self.first_time), default=0)
            time = max(end, begun, self.first_time + (0 if again else round(STEP / FRAME_SECONDS)))
            tokens = [*tokens, time, *([] if again else [time])]
        score = logprob * (len(tokens) + 1) / len(tokens) ** power
        return Result([tokens], [score], found.no_speech_prob)

    def _heard(self, features: Any, prompts: list[list[int]], found: Sequence[Any], row: int) -> _Heard:
        """By CTranslate2's alignment."""
        texts = [[token for token in each.sequences_ids[0] if token < self.eot] for each in found]
        texts = [text or [0] for text in texts]
        start = prompts[row][prompts[row].index(self.eot + 1) :]  # start of transcript, language, task
        start = list(takewhile(lambda token: self.eot < token < self.first_time - 1, start))
        aligned = self.model.align(features, start, texts, [FRAMES] * len(texts))[row]
        frames: dict[int, list[int]] = {}
        for token, frame in aligned.alignments:
            frames.setdefault(token, []).append(frame)
        heard: list[float] = []
        last, i = 0.0, 0
        for token in found[row].sequences_ids[0]:
            if token < self.eot:
                at = frames.get(i, [])
                last = FRAME_SECONDS * sum(at) / len(at) if at else last
                i += 1
            heard.append(last)
        return _Heard(heard, list(aligned.text_token_probs))


__all__ = ["Guarding", "Result"]
