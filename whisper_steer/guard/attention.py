"""Is a thing said again, or only written again? Where the decoder's cross-attention was at each repetition.

Who is heard saying a word five times is heard at five places, one behind the other: the attention of the heads that
follow the speech (openai-whisper's alignment heads) goes on with every repetition. In a loop it stands still, or jumps.
One pass over the tokens so far, made only where tokens repeat.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from whisper.model import disable_sdpa

from whisper_steer.guard.loops import Loop

SECONDS_PER_FRAME = 0.02


@torch.no_grad()
def heard_at(decoder: Any, heads: Tensor, features: Tensor, tokens: Tensor) -> Tensor:
    """Seconds (n,) at which the decoder of openai-whisper listened when it wrote each of tokens (n,), prompt included.

    ``features``: (1, 1500, n_state). ``heads``: (m, 2), block and head. The median frame of their mean attention.
    """
    weights: dict[int, Tensor] = {}

    def reader(index: int) -> Any:
        def read(_module: Any, _inputs: Any, output: tuple[Tensor, Tensor]) -> None:
            weights[index] = output[1][0].softmax(dim=-1)

        return read

    blocks = sorted({int(block) for block, _ in heads})
    handles = [decoder.blocks[i].cross_attn.register_forward_hook(reader(i)) for i in blocks]
    try:
        with disable_sdpa():
            decoder(tokens[None], features)
    finally:
        for handle in handles:
            handle.remove()
    mean = torch.stack([weights[int(block)][int(head)] for block, head in heads]).mean(dim=0)
    frames = (mean.cumsum(dim=-1) < 0.5).sum(dim=-1)
    # What the pass at a token sees decides on the next one.
    return torch.cat([frames[:1], frames[:-1]]).float().cpu() * SECONDS_PER_FRAME


def places_of(heard: Tensor, loop: Loop, offset: int) -> Tensor:
    """Mean place (seconds) of each repetition, from `heard_at` of a prompt of ``offset`` tokens and what followed."""
    at = heard[torch.tensor(loop.places) + offset]
    return at.view(loop.times, loop.period).mean(dim=1)


FASTEST = 0.12
"""seconds a token takes where somebody speaks, fast"""
RECENT = 6
"""repetitions that are looked at, the last ones: a loop can begin with what was said"""
LONG, USUAL = 30, 0.2
"""repeated tokens from which on they must take as long as is usual, seconds a token"""


def goes_on(places: Tensor, period: int) -> bool:
    """Whether repetitions of ``period`` tokens at these places (seconds, (times,)) were said: each behind the one
    before, and no faster than people speak."""
    least = USUAL if len(places) * period >= LONG else FASTEST
    return bool(places.diff()[-RECENT:].median() >= least * period)


__all__ = ["SECONDS_PER_FRAME", "goes_on", "heard_at", "places_of"]
