"""If these fail, transformers' `generate` loops to the end of a window, or may not say a thing three times."""

from __future__ import annotations

import torch

from whisper_steer.guard.hf import NoLoops

EOT, TIME = 50256, 50363
PROMPT = [EOT + 1, TIME - 1]


def test_a_long_loop_may_not_go_on_and_a_short_one_may() -> None:
    scores = torch.zeros(2, TIME + 1501)
    unit = [11, 12, 13, 14, 15]
    tokens = torch.tensor([PROMPT + unit * 6, [*PROMPT, *range(100, 115), *unit * 3]])
    found = NoLoops(TIME, EOT)(tokens, scores)
    assert found[0].isinf().nonzero().flatten().tolist() == [11]
    assert not bool(found[1].isinf().any())
    assert not bool(scores.isinf().any())
