"""The threshold and its promise: at most such a share of what is spoken is left out of the spans.

Conformal risk control (Angelopoulos et al., arXiv 2208.02814). The unit is an utterance; its loss at a threshold is the
share of its spoken steps outside of the spans, which grows with the threshold and lies within 0 and 1. With n held-out
utterances that are exchangeable with the user's, the expected loss of the next is at most the promise where the
threshold is the largest at which (n * mean loss + 1) / (n + 1) does not exceed it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from whisper_steer.errors import UsageError
from whisper_steer.gate.spans import Evidence

LET_THROUGH = 0.03
"""share of held-out clips and pauses without speech that may have a span"""
POINTS = 512
"""of a curve; between two of them the loss is taken for that of the higher one"""


def loss_curve(heard: list[Evidence]) -> Tensor:
    """What the calibration keeps: (points, 2) of thresholds, rising, and the mean loss of the utterances there.

    ``heard``: for each held-out utterance, `whisper_steer.gate.spans.audible` at its spoken steps.
    """
    values = np.concatenate(heard)
    weights = np.concatenate([np.full(len(steps), 1 / len(steps) / len(heard)) for steps in heard])
    order = np.argsort(values)
    below = np.cumsum(weights[order])
    chosen = np.unique(np.linspace(0, len(order) - 1, POINTS * 8).astype(int))
    # Most points where the loss is small: that is where thresholds lie. The first loses nothing.
    places = np.unique([0, *np.searchsorted(below[chosen], np.geomspace(1e-5, 1, POINTS), side="left")])
    chosen = chosen[places[places < len(chosen)]]
    # At a threshold just above a value, all values up to it are lost.
    return torch.from_numpy(np.stack([values[order][chosen], below[chosen]], axis=1).astype(np.float32))


def smallest_promise(n: int) -> float:
    """The smallest share that a calibration on n utterances can promise: (0 + 1) / (n + 1)."""
    return 1.0 / (n + 1)


def conformal_threshold(curve: Tensor, n: int, promise: float) -> float:
    """The largest threshold of a `loss_curve` over ``n`` utterances that keeps the promise (a share, 0..1).

    Raises `UsageError` where n is too small for it.
    """
    if not 0.0 < promise < 1.0:
        raise UsageError(f"--max-suppressed-speech is a share between 0 and 1, not {promise}")
    if promise < smallest_promise(n):
        raise UsageError(
            f"{n} calibration utterances cannot promise at most {promise:.3%} suppressed speech; "
            f"ask for {smallest_promise(n):.3%} or more, or fit on more speech"
        )
    kept = (curve[:, 1] * n + 1) / (n + 1) <= promise + 1e-9
    return float(curve[int(kept.sum()) - 1, 0]) if bool(kept.any()) else float(curve[0, 0]) - 1e-3


def choose_threshold(curve: Tensor, n: int, nonspeech: Tensor, promise: float) -> float:
    """The threshold in use: as low as the held-out clips and pauses without speech allow, and no higher than promised.

    ``nonspeech`` (m,): the strongest step of each. `LET_THROUGH` of them may have a span; a threshold that stops more
    costs speech that is harder than the calibration's. It lies in the middle between the strongest that must be stopped
    and the next, or the promise's bound; where that one is not below the bound, it is the bound.
    """
    bound = conformal_threshold(curve, n, promise)
    strongest = nonspeech.sort(descending=True).values
    allowed = int(LET_THROUGH * len(strongest))
    stopped = float(strongest[allowed])
    above = min(bound, float(strongest[allowed - 1])) if allowed else bound
    return (stopped + above) / 2 if stopped < bound else bound
