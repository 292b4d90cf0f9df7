"""The guard for transformers' `generate`: a loop that is being written is not written further.

Its generation takes a processor of the logits and shows no attention, so that what is really said again cannot be told
from a loop: it waits until far more has been repeated than people repeat, and leaves what is written until then.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from whisper_steer.guard.attention import LONG
from whisper_steer.guard.loops import ending
from whisper_steer.guard.mend import SIZE, ban


class NoLoops:
    """A ``logits_processor``: where a row of tokens ends in a loop, no sequence of three tokens is written again.

    first_time, eot: tokens from ``first_time`` on are timestamps, those from ``eot`` on are no text.
    """

    def __init__(self, first_time: int, eot: int) -> None:
        self._first_time, self._eot = first_time, eot

    def __call__(self, tokens: Tensor, scores: Tensor) -> Tensor:
        """Scores (rows, vocabulary) of what comes behind tokens (rows, n)."""
        for row, written in enumerate(tokens.tolist()):
            sampled = _sampled(written, self._eot, self._first_time)
            loop = ending(sampled, self._first_time)
            if loop is not None and loop.times * loop.period >= LONG:
                scores = scores.clone()
                ban(scores[row], sampled, SIZE, self._eot)
        return scores


def _sampled(tokens: list[int], eot: int, first_time: int) -> list[int]:
    """What stands behind the prompt: behind the last token that is neither text nor a timestamp."""
    last = max((i for i, token in enumerate(tokens) if eot <= token < first_time), default=-1)
    return tokens[last + 1 :]


def with_guard(options: dict[str, Any], model: Any) -> dict[str, Any]:
    """Options of `generate` with the processor, for a model of transformers."""
    from transformers import LogitsProcessorList

    config = model.generation_config
    guard = NoLoops(config.no_timestamps_token_id + 1, model.config.eos_token_id)
    return {
        **options,
        "logits_processor": LogitsProcessorList([guard, *(options.get("logits_processor") or [])]),
    }


__all__ = ["NoLoops", "with_guard"]
