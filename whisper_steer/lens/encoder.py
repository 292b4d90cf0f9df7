"""The encoder lens (arXiv 2508.15882): what the decoder writes when it hears from an inner block of the encoder.

A block's output goes through the encoder's last layer norm and is decoded greedily as if it were the encoder's own.
The paper, on the 32 blocks of a large model: from blocks 20 to 27 comes fluent text that has nothing to do with the
audio, and from block 27 on about 60 % of 400 clips loop.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import whisper
from torch import Tensor
from whisper.decoding import DecodingOptions
from whisper.model import Whisper

from whisper_steer.guard.loops import is_loop


@dataclass(frozen=True)
class Heard:
    """What is written from one block."""

    text: str
    compression_ratio: float
    avg_logprob: float

    @property
    def loops(self) -> bool:
        return is_loop(self.text)


def encoder_lens(model: Whisper, states: Tensor, options: DecodingOptions) -> list[Heard]:
    """The text from each state (blocks, 1500, n_state) at temperature 0, under the options of the window's decoding."""
    greedy = replace(options, temperature=0.0, beam_size=None, best_of=None, patience=None)
    found = whisper.decode(model, states, greedy)
    return [Heard(each.text, each.compression_ratio, each.avg_logprob) for each in found]
