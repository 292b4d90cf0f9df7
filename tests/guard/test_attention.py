"""If these fail, what is really said again and again is cut."""

from __future__ import annotations

import torch

from whisper_steer.guard.attention import goes_on


def test_repetitions_that_are_heard_one_behind_the_other_are_said() -> None:
    assert goes_on(torch.tensor([1.0, 2.1, 3.0, 4.2, 5.1, 6.0]), period=2)


def test_attention_that_stands_still_or_jumps_back_is_a_loop() -> None:
    assert not goes_on(torch.full((12,), 29.5), period=1)
    assert not goes_on(torch.tensor([9.0, 3.0, 8.5, 2.0]), period=3)


def test_nobody_speaks_that_fast() -> None:
    """A sentence of ten tokens three times within a second."""
    assert not goes_on(torch.tensor([14.0, 14.4, 14.8]), period=10)


def test_a_loop_may_begin_with_what_was_said() -> None:
    assert not goes_on(torch.cat([torch.arange(12.0), torch.full((8,), 11.5)]), period=1)
