"""`whisper.decode` with a guard against loops: stock's result, to the bit, for every window that does not loop.

Greedy decoding is watched token by token and ends where a loop is seen; of beam search and of sampling the result is
looked at. A loop is one where tokens repeat and the attention does not go on with them, or nobody is heard. The first
unit stays, and what follows is decoded anew by a `Way`. By default the text ends there with a timestamp, from which
stock's loop reads on in a window of its own; so it does where another way loops again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingResult, DecodingTask, LogitFilter
from whisper.model import Whisper
from whisper.utils import compression_ratio

from whisper_steer.guard.attention import NOBODY, goes_on, heard_at, no_speech_prob, places_of
from whisper_steer.guard.loops import Looking, Loop, Unit
from whisper_steer.guard.mend import Way, carry_on, ended

DEFAULT = Way("read on", cut="resume")
"""what works best on the loops it was chosen on"""


def decode(
    model: Whisper,
    features: Tensor,
    options: DecodingOptions,
    way: Way = DEFAULT,
    before: Unit | None = None,
) -> tuple[DecodingResult, Unit | None]:
    """Stock's result for one window's features (1500, n_state) at one temperature, and the unit of the loop mended.

    ``before``: the unit of the loop mended last, in an earlier window. Where it loops again, its window is not read on.
    """
    task = Guarded(model, options)
    (found,) = task.run(features[None])
    if options.task == "lang_id":
        return found, None
    loop = task.loop_in(found.tokens)
    if loop is None:
        return found, None
    unit = loop.unit(found.tokens)
    return task.mended(found, loop, replace(way, cut="end") if unit == before else way), unit


class Guarded(DecodingTask):  # type: ignore[misc]
    """Stock's decoding of one window; greedy decoding ends where a loop is seen."""

    def __init__(self, model: Whisper, options: DecodingOptions) -> None:
        super().__init__(model, options)
        self.passes = 0
        """of the decoder over all tokens so far, to look where its attention was"""
        self._features: Tensor
        self._no_speech_prob: float | None = None
        self.watch: _Watch | None = None
        """of greedy decoding"""
        if self.n_group == 1:
            self.watch = _Watch(self)
            self.logit_filters.append(self.watch)

    def run(self, mel: Tensor) -> list[DecodingResult]:
        self._features = self._get_audio_features(mel)[0]
        found: list[DecodingResult] = super().run(self._features[None])
        return found

    def looking(self) -> Looking:
        """At tokens of this window."""
        return Looking(self.tokenizer.timestamp_begin, self.is_loop)

    def loop_in(self, sampled: Sequence[int]) -> Loop | None:
        """The first loop in the tokens that `run` gave; what was watched is not looked at again."""
        if self.watch is None:
            return self.looking().first(sampled)
        return self.watch.loop or self.watch.looking.at(sampled)

    def is_loop(self, sampled: Sequence[int], loop: Loop) -> bool:
        """Whether repeated tokens are a loop: the attention does not go on with the repetitions, or nobody is heard."""
        if not goes_on(places_of(self.heard(sampled), loop, self.sample_begin), loop.period):
            return True
        if self._no_speech_prob is None:
            with self._beside():
                self._no_speech_prob = no_speech_prob(self, self._features)
        return self._no_speech_prob > NOBODY

    def heard(self, sampled: Sequence[int]) -> Tensor:
        """Seconds at which the decoder listened when it wrote each token, prompt included: (n,)."""
        self.passes += 1
        with self._beside():
            return heard_at(self.model, self._features, [*self.initial_tokens, *sampled])

    @contextmanager
    def _beside(self) -> Iterator[None]:
        """Passes of the decoder beside the decoding: stock's hooks append to its cache whatever passes, and are handed
        an empty one meanwhile."""
        cache = self.inference.kv_cache
        kept = dict(cache)
        cache.clear()
        try:
            yield
        finally:
            cache.clear()
            cache.update(kept)

    def mended(self, found: DecodingResult, loop: Loop, way: Way) -> DecodingResult:
        """A result with the loop's first unit, and what follows decoded by ``way``."""
        tokens, logprob = self._written(found.tokens, loop, way)
        text = self.tokenizer.decode(tokens).strip()
        return replace(
            found,
            tokens=tokens,
            text=text,
            avg_logprob=logprob / (len(tokens) + 1),
            compression_ratio=compression_ratio(text),
        )

    def _written(self, tokens: list[int], loop: Loop, way: Way) -> tuple[list[int], float]:
        stock = DecodingTask(self.model, self.options)
        if way.cut is None:
            (done,) = carry_on(stock, self._features, tokens[: loop.kept], [way])
            again = self.looking().first(done.tokens)
            if again is None:
                return done.tokens, done.sum_logprob
            tokens, loop = done.tokens, again
        return ended(stock, self._features, tokens[: loop.kept], way.cut != "end")


class _Watch(LogitFilter):  # type: ignore[misc]
    """Ends greedy decoding where a loop is seen."""

    def __init__(self, task: Guarded) -> None:
        self._task, self.looking = task, task.looking()
        self.loop: Loop | None = None

    def apply(self, logits: Tensor, tokens: Tensor) -> None:
        self.loop = self.looking.at(tokens[0, self._task.sample_begin :].tolist())
        if self.loop:
            logits[:] = -torch.inf
            logits[:, self._task.tokenizer.eot] = 0.0


__all__ = ["DEFAULT", "Guarded", "decode"]
