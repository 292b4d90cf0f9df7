"""Decoding on from where a loop began, in one of the ways that were tried to keep it from looping again.

Patched: the cross-attention of chosen heads is that of a reference run, the same decoder with the same tokens on white
noise, as Beyond Transcription (arXiv 2508.15882) patches loops. Banned: no sequence of ``ban`` tokens that the text
already holds is written again, as ``no_repeat_ngram_size`` does, but only from the loop on. Cut: nothing follows.

Several ways can be tried on one loop at once, each a row of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.nn import functional as F
from whisper.audio import N_SAMPLES
from whisper.decoding import DecodingTask
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.guard.loops import ending
from whisper_steer.models.attention import FRAME_SECONDS
from whisper_steer.models.hooks import Edit, hooked, run

Heads = tuple[tuple[int, int], ...]
"""(block, head), counted from 0"""

STEP = 2.0
"""seconds that a window goes on at least where it is read on"""
SIZE = 3
"""of the sequences that are not written twice, by default"""


@dataclass(frozen=True)
class Way:
    """How to decode on."""

    name: str
    patched: Heads = ()
    """heads of the cross-attention taken from the reference run"""
    ban: int = 0
    """length of sequences not to be written twice; 0: none"""
    penalty: float = 1.0
    """of the logits of tokens that the text holds (CTRL, arXiv 1909.05858); 1: none"""
    steps: int | None = None
    """tokens for which this is done; None: to the end of the window"""
    cut: Literal["end", "resume"] | None = None
    """write nothing more: the window ends there, or (stock's loop) the next one begins there"""


@dataclass(frozen=True)
class Continued:
    """What one way wrote."""

    tokens: list[int]
    """sampled tokens of the window, those that were kept included, without end of text"""
    sum_logprob: float
    """of all of them and of end of text, after the decoder's filters"""
    looping: bool
    """a loop is seen again; then the tokens end there"""
    passes: int
    """passes of the decoder"""


_references: WeakKeyDictionary[torch.nn.Module, Tensor] = WeakKeyDictionary()


@torch.no_grad()
def reference(model: Whisper, like: Tensor) -> Tensor:
    """The encoder's output (1500, n_state) on half a minute of white noise, in the type of ``like``; kept per model."""
    found = _references.get(model.encoder)
    if found is None or found.dtype != like.dtype or found.device != like.device:
        noise = 0.1 * torch.randn(N_SAMPLES, generator=torch.Generator().manual_seed(0))
        mel = window_mel(noise.numpy(), model.dims.n_mels)
        found = run(model.encoder, mel[None].to(like.device, like.dtype))[0]
        _references[model.encoder] = found
    return found


@torch.no_grad()
def carry_on(
    task: DecodingTask, features: Tensor, kept: Sequence[int], ways: Sequence[Way], limit: int | None = None
) -> list[Continued]:
    """Greedy decoding of a window by each way, from the ``kept`` sampled tokens on.

    ``task``: of the window, for its prompt, its filters and its model. ``features``: (1500, n_state). ``limit``: most
    tokens to write, by default what the window has left. A row stops where it loops again.
    """
    model: Any = task.model
    tokenizer, n = task.tokenizer, len(ways)
    both = torch.stack([features, reference(model, features)])
    patching = any(way.patched for way in ways)
    prompt = [*task.initial_tokens, *kept]
    room = min(task.sample_len - len(kept), task.n_ctx - len(prompt))
    room = max(0, room if limit is None else min(room, limit))
    rows = 2 * n if patching else n
    tokens = torch.tensor([prompt], device=features.device).repeat(rows, 1)
    patch = _Patch(model, ways)
    cache, hooks = model.install_kv_cache_hooks()
    try:
        _share(model, cache, both if patching else both[:1], n)
        audio = features.expand(rows, -1, -1)  # shapes only: keys and values are there
        with hooked(model.decoder, *(patch.edits() if patching else [])):
            logits = model.decoder(tokens, audio, kv_cache=cache)
            sums = _logprob_of(task, logits[0], tokens[0]).repeat(n)
            done = torch.zeros(n, dtype=torch.bool, device=features.device)
            looping = [False] * n
            passes = 1
            for step in range(room):
                here = logits[:n, -1].clone()
                for each in task.logit_filters:
                    each.apply(here, tokens[:n])
                for i, way in enumerate(ways):
                    if way.steps is None or step < way.steps:
                        sampled = tokens[i, task.sample_begin :].tolist()
                        ban(here[i], sampled, way.ban, tokenizer.eot)
                        penalise(here[i], sampled, way.penalty, tokenizer.eot)
                chosen = here.argmax(dim=-1)
                gained = here.float().log_softmax(dim=-1).gather(1, chosen[:, None])[:, 0]
                sums = sums + torch.where(done, 0.0, gained)
                chosen = torch.where(done, tokenizer.eot, chosen)
                done = done | (chosen == tokenizer.eot)
                tokens = torch.cat([tokens, chosen.repeat(rows // n)[:, None]], dim=1)
                for i in (~done).nonzero()[:, 0].tolist():
                    written = tokens[i, task.sample_begin :].tolist()
                    if ending(written, tokenizer.timestamp_begin):
                        looping[i] = True
                        done[i] = True
                if bool(done.all()) or step + 1 == room:
                    break
                patch.step = step + 1
                logits = model.decoder(tokens[:, -1:], audio, kv_cache=cache)
                passes += 1
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for i, row in enumerate(tokens[:n, task.sample_begin :].tolist()):
        written = row[: row.index(tokenizer.eot)] if tokenizer.eot in row else row
        found.append(Continued(written, float(sums[i]), looping[i], passes))
    return found


@torch.no_grad()
def ended(task: DecodingTask, features: Tensor, kept: Sequence[int], resume: bool) -> tuple[list[int], float]:
    """The kept tokens, the likeliest timestamp behind them, and the sum of their log probabilities.

    With ``resume`` the timestamp stands there twice: openai-whisper's loop reads on from there. It lies `STEP` seconds
    behind the window's start or more, so that a recording that loops throughout comes to an end.
    """
    begin = task.tokenizer.timestamp_begin
    tokens = torch.tensor([[*task.initial_tokens, *kept]], device=features.device)
    logits = task.model.decoder(tokens, features[None])
    total = float(_logprob_of(task, logits[0], tokens[0]))
    if task.options.without_timestamps or not kept or kept[-1] >= begin:
        return list(kept), total
    here = logits[:, -1].clone()
    here[:, : begin + (round(STEP / FRAME_SECONDS) if resume else 0)] = -torch.inf
    for each in task.logit_filters:
        each.apply(here, tokens)
    if not bool(here.isfinite().any()):  # the window is full
        return list(kept), total
    time = int(here[0].argmax())
    total += float(logits[0, -1].log_softmax(dim=-1)[time])
    return [*kept, time, *([time] if resume else [])], total


class _Patch:
    """What the hooks on a batch of n rows and their n references do."""

    def __init__(self, model: Any, ways: Sequence[Way]) -> None:
        self.ways, self.step = ways, 0
        self.n_heads: int = model.dims.n_text_head
        self.n_blocks: int = model.dims.n_text_layer

    def edits(self) -> list[tuple[str, Edit]]:
        blocks = sorted({block for way in self.ways for block, _ in way.patched})
        return [(f"blocks.{block}.cross_attn.heads", self._edit(block)) for block in blocks]

    def _edit(self, block: int) -> Edit:
        heads = torch.zeros(len(self.ways), self.n_heads, dtype=torch.bool)
        for i, way in enumerate(self.ways):
            for b, head in way.patched:
                heads[i, head] |= b == block

        def edit(hidden: Tensor) -> Tensor:
            n = len(self.ways)
            active = [way.steps is None or self.step < way.steps for way in self.ways]
            mask = heads & torch.tensor(active)[:, None]
            # Only what is written from here on: a prompt's last position, later the only one.
            last = hidden[:, -1].view(2 * n, self.n_heads, -1)
            mixed = torch.where(mask[..., None].to(hidden.device), last[n:], last[:n]).flatten(1)
            out = hidden.clone()
            out[:n, -1] = mixed
            return out

        return edit


def _share(model: Any, cache: dict[Any, Tensor], both: Tensor, n: int) -> None:
    """Keys and values of the cross-attention, computed once and laid out for all rows."""
    # The decoder takes its place in the text from the length of what the cache holds first: the text, which is empty.
    cache[model.decoder.blocks[0].attn.key] = both.new_empty(len(both) * n, 0, both.shape[-1])
    for block in model.decoder.blocks:
        for linear in (block.cross_attn.key, block.cross_attn.value):
            bias = None if linear.bias is None else linear.bias.to(both.dtype)
            cache[linear] = F.linear(both, linear.weight.to(both.dtype), bias).repeat_interleave(n, dim=0)


def _logprob_of(task: DecodingTask, logits: Tensor, tokens: Tensor) -> Tensor:
    """Sum of the log probabilities of the sampled tokens in a prompt, as stock's loop would have summed them."""
    total = torch.zeros((), device=logits.device)
    for i in range(task.sample_begin, len(tokens)):
        here = logits[i - 1 : i].clone()
        for each in task.logit_filters:
            each.apply(here, tokens[None, :i])
        total = total + here[0].float().log_softmax(dim=-1)[tokens[i]]
    return total


def ban(logits: Tensor, sampled: Sequence[int], size: int, eot: int) -> None:
    """Forbid what would complete a sequence of ``size`` text tokens a second time; timestamps are passed over."""
    text = [token for token in sampled if token < eot]
    if not size or len(text) < size:
        return
    last = text[len(text) - size + 1 :]
    banned = [text[i + size - 1] for i in range(len(text) - size + 1) if text[i : i + size - 1] == last]
    logits[banned] = -torch.inf


def penalise(logits: Tensor, sampled: Sequence[int], penalty: float, eot: int) -> None:
    """Make the text tokens that were sampled less likely."""
    if penalty == 1.0:
        return
    text = list({token for token in sampled if token < eot})
    here = logits[text]
    logits[text] = torch.where(here > 0, here / penalty, here * penalty)


__all__ = ["SIZE", "Continued", "Heads", "Way", "ban", "carry_on", "ended", "penalise", "reference"]
