"""In which frames each latent is active, and how far the latents of two SAEs agree in that.

The measure of arXiv 2602.05027: for two latents the frames in which both are active over those in which either is
(intersection over union, IoU); they match where it is above 0.5. Products are of sparse matrices and in blocks of
latents: all pairs of an SAE's latents at once are never in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array, vstack
from torch import Tensor

from whisper_steer.eval.intervals import Estimate, resample
from whisper_steer.sae.model import SAE

BLOCK = 512
"""latents that are compared with all others at a time"""
Z = 1.96
"""standard deviations to each side: 95 %"""
MATCH = 0.5
"""IoU above which two latents match"""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@torch.no_grad()
def patterns(sae: SAE, batches: Iterable[Tensor]) -> csr_array:
    """(frames, n_latents) int32, 1 where a latent is active, of activations in batches (n, n_state)."""
    return csr_array(
        vstack([csr_array((sae.encode(h) > 0).numpy().astype(np.int32)) for h in batches], "csr")
    )


@dataclass
class Matches:
    """For each latent of one SAE the latent of another, or of the same, that agrees with it most."""

    iou: Floats
    """(n_latents,); 0 for a latent that is never active"""
    partner: Ints
    """(n_latents,)"""


def matches(a: csr_array, b: csr_array, same: bool = False) -> Matches:
    """Of patterns (frames, n_latents) of the same frames. ``same``: both are one SAE's; no latent is its own match."""
    rows, count_b = csr_array(a.T), np.asarray(b.sum(axis=0))
    iou, partner = np.zeros(rows.shape[0]), np.zeros(rows.shape[0], np.int64)
    for first in range(0, rows.shape[0], BLOCK):
        part = rows[first : first + BLOCK]
        both = (part @ b).toarray()
        either = np.asarray(part.sum(axis=1))[:, None] + count_b - both
        share = np.divide(both, either, out=np.zeros(both.shape), where=either > 0)
        if same:
            here = np.arange(len(share))
            share[here, first + here] = 0
        partner[first : first + BLOCK] = share.argmax(axis=1)
        iou[first : first + BLOCK] = share.max(axis=1)
    return Matches(iou, partner)


def alive(pattern: csr_array) -> npt.NDArray[np.bool_]:
    """(n_latents,): active in any frame."""
    return np.asarray(pattern.sum(axis=0)) > 0


def coverage(a: csr_array, b: csr_array, found: Matches, groups: Ints) -> Estimate:
    """The share of a's latents that are alive and match a latent of b, of all that are alive.

    The interval is 1.96 standard deviations of resampled groups of clips to each side, ``groups`` (frames,) being the
    number of each frame's: percentiles lie too high, as latents that are rarely active match more often in fewer
    frames. Each latent keeps the partner that it has in all frames.
    """
    lives = np.flatnonzero(alive(a))
    own, other = a[:, lives], b[:, found.partner[lives]]
    of_group = csr_array(
        (np.ones(len(groups), np.int32), (groups, np.arange(len(groups)))),
        (int(groups.max()) + 1, len(groups)),
    )
    both = (of_group @ own.multiply(other)).toarray()
    either = (of_group @ own).toarray() + (of_group @ other).toarray() - both
    n = len(lives)

    sums = np.hstack([both, either]).astype(np.float64)
    totals = np.vstack([sums.sum(axis=0), resample(sums)])
    shares = (totals[:, :n] > MATCH * totals[:, n:]).mean(axis=1)
    value, reach = float(shares[0]), float(Z * shares[1:].std()) if len(sums) > 1 else np.nan
    return Estimate(value, value - reach, value + reach, len(sums))


def chance(a: csr_array, b: csr_array) -> float:
    """The same share where b's frames are half the sound later: what latents match by being active often."""
    half = b.shape[0] // 2
    moved = csr_array(vstack([b[half:], b[:half]], "csr"))
    return float((matches(a, moved).iou[alive(a)] > MATCH).mean())


def closest(a: Tensor, b: Tensor) -> Tensor:
    """(n_latents of a,) the largest cosine of each decoder direction (n_latents, n_state) of a to one of b."""
    a, b = (each / each.norm(dim=1, keepdim=True).clamp_min(1e-12) for each in (a, b))
    return torch.cat([(part @ b.T).amax(dim=1) for part in a.split(BLOCK)])


__all__ = ["MATCH", "Matches", "alive", "chance", "closest", "coverage", "matches", "patterns"]
