"""Is a thing said again, or only written again? Where the decoder's cross-attention was at each repetition, and
whether Whisper hears anybody.

Who is heard saying a word five times is heard at five places, one behind the other: the attention of the heads that
follow the speech (openai-whisper's alignment heads) goes on with every repetition. In a loop it stands still, or jumps.
One pass over the tokens so far, made only where tokens repeat. On a sound that itself repeats, a dog that barks, it
goes on too; there Whisper's own ``no_speech_prob`` tells.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from whisper.decoding import DecodingTask
from whisper.model import Whisper

from whisper_steer.guard.loops import Loop
from whisper_steer.models.attention import FRAME_SECONDS, alignment_heads, cross_attention


@torch.no_grad()
def heard_at(model: Whisper, features: Tensor, tokens: Sequence[int]) -> Tensor:
    """Seconds (n,) at which the decoder listened when it wrote each of n tokens, prompt included: the median frame of
    the alignment heads' mean attention. ``features``: (1500, n_state)."""
    heads = alignment_heads(model)
    weights = cross_attention(model.decoder, features, tokens, sorted({block for block, _ in heads}))
    mean = torch.stack([weights[block][head] for block, head in heads]).mean(dim=0)
    frames = (mean.cumsum(dim=-1) < 0.5).sum(dim=-1)
    # What the pass at a token sees decides on the next one.
    return torch.cat([frames[:1], frames[:-1]]).float().cpu() * FRAME_SECONDS


def places_of(heard: Tensor, loop: Loop, offset: int) -> Tensor:
    """Mean place (seconds) of each repetition, from `heard_at` of a prompt of ``offset`` tokens and what followed."""
    at = heard[torch.tensor(loop.places) + offset]
    return at.view(loop.times, loop.period).mean(dim=1)


FASTEST = 0.08
"""seconds a token takes where somebody speaks, fast"""
RECENT = 6
"""repetitions that are looked at, the last ones: a loop can begin with what was said"""
NOBODY = 0.7
"""``no_speech_prob`` above which what repeats was not said"""
LONG, USUAL = 30, 0.2
"""repeated tokens from which on they must take as long as is usual, seconds a token"""


def goes_on(places: Tensor, period: int) -> bool:
    """Whether repetitions of ``period`` tokens at these places (seconds, (times,)) were said: each behind the one
    before, and no faster than people speak."""
    least = USUAL if len(places) * period >= LONG else FASTEST
    return bool(places.diff()[-RECENT:].median() >= least * period)


@torch.no_grad()
def no_speech_prob(task: DecodingTask, features: Tensor) -> float:
    """Of a window (1500, n_state), as stock's loop reads it behind the start of the transcript."""
    token = task.tokenizer.no_speech
    if token is None:
        return 0.0
    tokens = torch.tensor([task.initial_tokens[: task.sot_index + 1]], device=features.device)
    return float(task.model.decoder(tokens, features[None])[0, -1].float().softmax(dim=-1)[token])


__all__ = ["NOBODY", "goes_on", "heard_at", "no_speech_prob", "places_of"]
