"""What the decoder thought of each segment: its residual stream over the tokens that it wrote.

One pass of the decoder over a window's own text, without a prompt before it, up to the block that is read: the same
states as while decoding at temperature 0, whatever search or temperature found the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer

from whisper_steer.errors import UsageError

POSITIONS = ("mean", "first", "last", "after")
"""over a segment's text tokens: their mean, the first, the last; and the token behind the last"""


@torch.no_grad()
def residuals(decoder: nn.Module, features: Tensor, tokens: Sequence[int], blocks: Sequence[int]) -> Tensor:
    """(blocks, tokens, state) float32: the residual stream of openai-whisper's ``decoder`` behind each of ``blocks``,
    in ascending order, over ``tokens`` for a window's ``features`` (1500, state)."""
    inner: Any = decoder
    if not blocks or max(blocks) >= len(inner.blocks):
        raise UsageError(f"the decoder has {len(inner.blocks)} blocks, asked for {list(blocks)}")
    ids = torch.tensor([list(tokens)], device=features.device)
    x = (inner.token_embedding(ids) + inner.positional_embedding[: ids.shape[1]]).to(features.dtype)
    found = []
    for i, block in enumerate(inner.blocks[: max(blocks) + 1]):
        x = block(x, features[None], mask=inner.mask)
        if i in blocks:
            found.append(x[0].float())
    return torch.stack(found)


@dataclass(frozen=True)
class Window:
    """A decoded window."""

    tokens: list[int]
    scores: tuple[str, ...]
    """those that stock writes into its segments, as text: NaN is equal to itself"""
    residuals: Tensor
    """(blocks, tokens + 1, state) float16, end-of-text last"""


class Watch:
    """Reads the residual stream of each window that `Remembering` has decoded."""

    def __init__(self, model: Whisper, blocks: Sequence[int]) -> None:
        self.model, self.blocks = model, sorted(blocks)
        self.eot = get_tokenizer(model.is_multilingual, num_languages=model.num_languages).eot
        self.windows: list[Window] = []

    def __call__(self, features: Tensor, result: DecodingResult, options: DecodingOptions) -> None:
        """``features`` (1500, state) and what was decoded from them in the end."""
        tokens = list(result.tokens)
        if not any(token < self.eot for token in tokens):
            return
        tokenizer = get_tokenizer(
            self.model.is_multilingual,
            num_languages=self.model.num_languages,
            language=result.language,
            task=options.task,
        )
        prompt = list(
            tokenizer.sot_sequence_including_notimestamps
            if options.without_timestamps
            else tokenizer.sot_sequence
        )
        room = self.model.dims.n_text_ctx - len(prompt) - 1
        given = [*prompt, *tokens[:room], self.eot]
        found = residuals(self.model.decoder, features, given, self.blocks)[:, len(prompt) :]
        self.windows.append(Window(tokens, _scores(vars(result)), found.half()))

    def pooled(self, segments: Sequence[dict[str, Any]]) -> list[Tensor | None]:
        """For each of stock's segments (blocks, positions, state) in the order of `POSITIONS`; None without text."""
        found: list[Tensor | None] = []
        at, behind, seek = 0, 0, None
        for segment in segments:
            tokens = list(segment["tokens"])
            if not any(token < self.eot for token in tokens):
                found.append(None)
                continue
            if seek is not None and segment["seek"] != seek:
                at, behind = at + 1, 0
            seek = segment["seek"]
            place = self._find(segment, at, behind)
            if place is None:
                found.append(None)
                continue
            at, start = place
            behind = start + len(tokens)
            found.append(self._pool(self.windows[at].residuals.float(), tokens, start))
        return found

    def _find(self, segment: dict[str, Any], at: int, behind: int) -> tuple[int, int] | None:
        """The window, from ``at`` on, that a segment is of, and where in its tokens it begins."""
        for i, window in enumerate(self.windows[at:], start=at):
            if window.scores == _scores(segment):
                start = _place(window.tokens, segment["tokens"], behind if i == at else 0)
                if start is not None:
                    return i, start
        return None

    def at(self, position: str | None, segments: Sequence[dict[str, Any]]) -> list[Tensor | None]:
        """For each segment (state,) at one of `POSITIONS` of the first block that is read; None without text."""
        place = POSITIONS.index(position or POSITIONS[0])
        return [None if pooled is None else pooled[0, place] for pooled in self.pooled(segments)]

    def _pool(self, states: Tensor, tokens: list[int], start: int) -> Tensor | None:
        text = [start + i for i, token in enumerate(tokens) if token < self.eot]
        if text[-1] + 1 >= states.shape[1]:  # longer than the decoder's context
            text = [i for i in text if i + 1 < states.shape[1]]
            if not text:
                return None
        last = text[-1]
        return torch.stack(
            [states[:, text].mean(dim=1), states[:, text[0]], states[:, last], states[:, last + 1]], dim=1
        )


def _scores(fields: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        repr(fields[k]) for k in ("temperature", "avg_logprob", "compression_ratio", "no_speech_prob")
    )


def _place(tokens: list[int], part: list[int], start: int) -> int | None:
    """Where a part begins in tokens, not before ``start``."""
    return next(
        (i for i in range(start, len(tokens) - len(part) + 1) if tokens[i : i + len(part)] == part), None
    )


__all__ = ["POSITIONS", "Watch", "Window", "residuals"]
