"""A window is encoded once: openai-whisper's `transcribe` over a model that remembers the last window's features.

Stock encodes a window anew for every temperature that it tries. And a recording of one window has been through the
convolutions when it was listened to: its features are made from there.

In a recording with pauses a prompt can also bind the style of what comes behind it: after a few lone digits base writes
"6" for a sentence of six seconds, and "8" for the next, each the prompt of the one after. So a window with far less
text than its speech would take is decoded once more without the prompt, and the likelier of the two stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import whisper
from torch import Tensor
from whisper.audio import FRAMES_PER_SECOND
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer

from whisper_steer.encoders.prefix import Prefix, run_from
from whisper_steer.guard import decode as guard
from whisper_steer.guard.loops import Unit


class Keeping(Prefix):
    """A prefix that keeps the embedding of the window it ran last."""

    mel: Tensor | None = None
    embedded: Tensor | None = None

    def embedding(self, mel: Tensor) -> Tensor:
        self.mel, self.embedded = mel, super().embedding(mel)
        return self.embedded


FEWEST_TOKENS = 0.6
"""text tokens a second of audio under which a window has far too few; English takes three or four"""
SHORTEST = 3.0
"""seconds of audio in a window of which that is asked"""
SCORES = ("avg_logprob", "no_speech_prob", "compression_ratio")


def with_or_without_prompt(
    model: Whisper,
    mel: Tensor,
    options: DecodingOptions,
    found: DecodingResult,
    decode: Callable[[DecodingOptions], DecodingResult],
) -> DecodingResult:
    """What was ``found`` in a log-mel window (mels, 3000); where that is far too little text, and there was a prompt,
    the likelier of it and of what ``decode`` finds without the prompt. Audio ends where the log-mel is 0 from then on.
    """
    if not options.prompt:
        return found
    seconds = int(mel.abs().amax(dim=0).count_nonzero()) / FRAMES_PER_SECOND
    eot = get_tokenizer(model.is_multilingual, num_languages=model.num_languages).eot
    written = sum(token < eot for token in found.tokens)
    if seconds < SHORTEST or written >= FEWEST_TOKENS * seconds:
        return found
    return max(found, decode(replace(options, prompt=None)), key=lambda result: result.avg_logprob)


class Remembering:
    """Stands in for a `Whisper` in stock's `transcribe`; what it gives is stock's, to the bit, but for what it mends.

    kept: what listened, where the recording is one window. mend_prompts: the windows hold speech, and such as have far
    too little text with their prompt are decoded without it as well. mend_loops: see `whisper_steer.guard`. watch:
    called with the features of each window and what came of it in the end; call `finish` for the last.
    """

    def __init__(
        self,
        model: Whisper,
        kept: Keeping | None = None,
        mend_prompts: bool = False,
        mend_loops: bool = False,
        watch: Callable[[Tensor, DecodingResult, DecodingOptions], None] | None = None,
    ) -> None:
        self._model = model
        self._kept = kept
        self._mend_prompts = mend_prompts
        self._mend_loops = mend_loops
        self._mended: set[tuple[float, ...]] = set()
        self._watch = watch
        self._found: tuple[DecodingResult, DecodingOptions] | None = None
        self._unit: Unit | None = None
        self._before: Unit | None = None
        self._mel: Tensor | None = None
        self._features: Tensor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, mel: Tensor, tokens: Tensor) -> Tensor:
        """Logits for word timestamps, from a pass of its own: stock's takes another attention kernel there."""
        return self._model(mel, tokens)

    def decode(self, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        """Decode one window (mels, 3000) at one temperature."""
        if self._mel is not mel:
            self.finish()
            self._mel, self._features = mel, self._encode(mel.half() if options.fp16 else mel)
            self._before, self._unit = self._unit or self._before, None
        found = self._decode(mel, options)
        self._found = found, options
        return found

    def finish(self) -> None:
        """Show the window decoded last to who watches."""
        if self._watch is not None and self._found is not None:
            self._watch(self._features, *self._found)
        self._found = None

    def _decode(self, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        found = self._guarded(options)
        if not self._mend_prompts:
            return found
        return with_or_without_prompt(self._model, mel, options, found, self._guarded)

    def loop_mended(self, segment: dict[str, Any]) -> bool:
        """Whether a segment of stock's result lies in a window in which a loop was mended: it has its scores."""
        return tuple(segment[name] for name in SCORES) in self._mended

    def _guarded(self, options: DecodingOptions) -> DecodingResult:
        if not self._mend_loops:
            return whisper.decode(self._model, self._features, options)
        found, unit = guard.decode(self._model, self._features, options, before=self._before)
        if unit is not None:
            self._unit = unit
            self._mended.add(tuple(getattr(found, name) for name in SCORES))
        return found

    @torch.no_grad()
    def _encode(self, mel: Tensor) -> Tensor:
        """Features (1500, n_state) of a window (mels, 3000)."""
        kept = self._kept
        if kept is not None and kept.mel is not None and kept.embedded is not None:
            known = kept.mel[0].to(mel.device)
            if known.dtype == mel.dtype and torch.equal(known, mel):
                return run_from(self._model.encoder, None, kept.embedded)[0]
        features: Tensor = self._model.encoder(mel[None])[0]
        return features
