"""Greedy decoding of many windows at once: what `whisper.decode` gives at temperature 0, token by token, faster.

openai-whisper's own loop walks the batch in Python at every step, casts every weight in every pass and appends to
its cache by copying it. Here keys and values have their place from the start, rules on timestamps are masks over the
batch, and windows that are finished leave it. Options, prompt and suppressed tokens are taken from openai-whisper.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.model import Whisper
from whisper.utils import compression_ratio

from whisper_steer.errors import UsageError

Mode = Literal["ban-lifted", "stock"]
"""``stock``: openai-whisper's defaults, with timestamps; ``ban-lifted``: text alone, which may be empty"""
OPTIONS: dict[str, dict[str, bool]] = {
    "ban-lifted": {"without_timestamps": True, "suppress_blank": False},
    "stock": {"without_timestamps": False, "suppress_blank": True},
}
LOOK_EVERY = 4
"""steps between two looks at who is finished, each of which waits for the device"""


@dataclass(frozen=True)
class Written:
    """What was decoded from one window."""

    tokens: list[int]
    text: str
    no_speech_prob: float
    avg_logprob: float
    compression_ratio: float


class Greedy:
    """A model's decoder in one mode, for English. ``dtype``: of the features that it is given.

    Raises `UsageError` for an unknown mode.
    """

    def __init__(self, model: Whisper, mode: Mode, dtype: torch.dtype) -> None:
        if mode not in get_args(Mode):
            raise UsageError(f"unknown mode {mode!r}; choose one of {', '.join(get_args(Mode))}")
        options = DecodingOptions(language="en", length_penalty=0.0, fp16=False, **OPTIONS[mode])
        self.task = task = DecodingTask(model, options)
        self.timestamps = not options.without_timestamps
        self.prompt = list(task.initial_tokens)
        self.n_ctx = task.n_ctx
        tokenizer = task.tokenizer
        self.eot, self.first_time = tokenizer.eot, tokenizer.timestamp_begin
        device, vocabulary = model.device, model.dims.n_vocab
        self.suppressed = torch.zeros(vocabulary, device=device)
        self.blank = torch.zeros(vocabulary, device=device)
        for each in task.logit_filters:
            name = type(each).__name__
            if name == "SuppressTokens":
                self.suppressed[list(each.suppress_tokens)] = -torch.inf
            elif name == "SuppressBlank":
                self.blank[[*tokenizer.encode(" "), self.eot]] = -torch.inf
            else:  # ApplyTimestampRules
                self.suppressed[tokenizer.no_timestamps] = -torch.inf
                self.blank[: self.first_time] = -torch.inf
                self.blank[self.first_time + each.max_initial_timestamp_index + 1 :] = -torch.inf
        self.decoder = _Decoder(model, dtype)

    @torch.no_grad()
    def __call__(self, features: Tensor, sample_len: int) -> list[Written]:
        """Encoder outputs (n, 1500, n_state) -> n results, of at most ``sample_len`` tokens each."""
        n, device = len(features), features.device
        steps = min(sample_len, self.n_ctx - len(self.prompt) + 1)
        cache = self.decoder.start(features, len(self.prompt) + steps)
        prompt = torch.tensor([self.prompt], device=device).expand(n, -1)
        all_logits = self.decoder.step(cache, prompt)
        at_sot = all_logits[:, self.task.sot_index].softmax(dim=-1)
        no_speech = at_sot[:, self.task.tokenizer.no_speech].tolist()
        logits = all_logits[:, -1] + self.blank
        rows = torch.arange(n, device=device)
        tokens = torch.full((n, steps + 1), self.eot, device=device)
        logprobs = torch.zeros(n, device=device)
        written = tokens[:, :0]
        done = torch.zeros(n, dtype=torch.bool, device=device)
        for i in range(steps):
            logits += self.suppressed
            if self.timestamps:
                self._time_rules(logits, written)
            chosen = logits.argmax(dim=-1)
            gained = logits.gather(1, chosen[:, None])[:, 0] - logits.logsumexp(dim=-1)
            logprobs[rows] += torch.where(done, 0.0, gained)
            chosen = torch.where(done, self.eot, chosen)
            tokens[rows, i] = chosen
            done = done | (chosen == self.eot)
            if i + 1 == steps:
                break
            if i % LOOK_EVERY == 0:
                left = (~done).nonzero()[:, 0]
                if not len(left):
                    break
                if len(left) <= 0.75 * len(rows):
                    rows, chosen, done = rows[left], chosen[left], done[left]
                    cache.keep(left)
            written = tokens[rows, : i + 1]
            logits = self.decoder.step(cache, chosen[:, None])[:, -1]
        return list(self._results(tokens.tolist(), logprobs.tolist(), no_speech))

    def _results(
        self, tokens: list[list[int]], logprobs: list[float], no_speech: list[float]
    ) -> Iterator[Written]:
        for found, logprob, probability in zip(tokens, logprobs, no_speech, strict=True):
            kept = found[: found.index(self.eot)]
            text = self.task.tokenizer.decode(kept).strip()
            yield Written(kept, text, probability, logprob / (len(kept) + 1), compression_ratio(text))

    def _time_rules(self, logits: Tensor, written: Tensor) -> None:
        """openai-whisper's `ApplyTimestampRules`, in place: logits (n, vocabulary) after tokens (n, i)."""
        i = written.shape[1]
        first = self.first_time
        if i:
            last = written[:, -1] >= first
            before = written[:, -2] >= first if i > 1 else torch.ones_like(last)
            times = written.clamp_min(first - 1).amax(dim=1)  # they never decrease: the last is the largest
            lowest = torch.where(times < first, 0, times + torch.where(last & ~before, 0, 1))
            forbidden = torch.arange(first, logits.shape[1], device=logits.device) < lowest[:, None]
            logits[:, first:].masked_fill_(forbidden | (last & before)[:, None], -torch.inf)
            logits[:, : self.eot].masked_fill_((last & ~before)[:, None], -torch.inf)
        likelier = logits[:, first:].logsumexp(dim=-1) > logits[:, :first].amax(dim=-1)
        logits[:, :first].masked_fill_(likelier[:, None], -torch.inf)


@dataclass
class _Cache:
    """Keys and values of each block, (n, heads, positions, width) each: of the text so far, and of the audio."""

    text: list[tuple[Tensor, Tensor]]
    audio: list[tuple[Tensor, Tensor]]
    length: int = 0

    def keep(self, rows: Tensor) -> None:
        self.text = [(keys[rows], values[rows]) for keys, values in self.text]
        self.audio = [(keys[rows], values[rows]) for keys, values in self.audio]


class _Decoder:
    """openai-whisper's text decoder over its weights, cast once."""

    def __init__(self, model: Whisper, dtype: torch.dtype) -> None:
        decoder: Any = model.decoder
        self.embedding = decoder.token_embedding.weight.to(dtype)
        self.token_embedding, self.positions = decoder.token_embedding, decoder.positional_embedding
        self.dtype, self.heads = dtype, model.dims.n_text_head
        self.blocks, self.ln = list(decoder.blocks), decoder.ln
        self.weights: dict[torch.nn.Module, tuple[Tensor, Tensor | None]] = {
            module: (module.weight.to(dtype), None if module.bias is None else module.bias.to(dtype))
            for module in decoder.blocks.modules()
            if isinstance(module, torch.nn.Linear)
        }

    def start(self, features: Tensor, longest: int) -> _Cache:
        """A cache for texts of ``longest`` tokens on features (n, 1500, n_state)."""
        audio = [
            (self._heads(block.cross_attn.key, features), self._heads(block.cross_attn.value, features))
            for block in self.blocks
        ]
        n, heads, _, width = audio[0][0].shape
        text = [
            (features.new_empty(n, heads, longest, width), features.new_empty(n, heads, longest, width))
            for _ in self.blocks
        ]
        return _Cache(text, audio)

    def step(self, cache: _Cache, tokens: Tensor) -> Tensor:
        """Logits (n, i, vocabulary) float32 of the next tokens (n, i)."""
        start, end = cache.length, cache.length + tokens.shape[1]
        x = (self.token_embedding(tokens) + self.positions[start:end]).to(self.dtype)
        for block, text, audio in zip(self.blocks, cache.text, cache.audio, strict=True):
            normed = block.attn_ln(x)
            for kept, linear in zip(text, (block.attn.key, block.attn.value), strict=True):
                kept[:, :, start:end] = self._heads(linear, normed)
            keys, values = (kept[:, :, :end] for kept in text)
            x = x + self._attention(block.attn, normed, keys, values, causal=end - start > 1)
            x = x + self._attention(block.cross_attn, block.cross_attn_ln(x), *audio)
            inner = F.gelu(self._linear(block.mlp[0], block.mlp_ln(x)))
            x = x + self._linear(block.mlp[2], inner)
        cache.length = end
        return (self.ln(x) @ self.embedding.T).float()

    def _attention(
        self, attention: Any, x: Tensor, keys: Tensor, values: Tensor, causal: bool = False
    ) -> Tensor:
        query = self._heads(attention.query, x)
        seen = F.scaled_dot_product_attention(query, keys, values, is_causal=causal)
        return self._linear(attention.out, seen.transpose(1, 2).flatten(2))

    def _linear(self, module: torch.nn.Module, x: Tensor) -> Tensor:
        return F.linear(x, *self.weights[module])

    def _heads(self, module: torch.nn.Module, x: Tensor) -> Tensor:
        n, length, n_state = x.shape
        return self._linear(module, x).view(n, length, self.heads, n_state // self.heads).transpose(1, 2)
