"""Codes of an SAE and dense activations, frame by frame or pooled over each clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from whisper_steer.lab.fisher import Matrix, fisher_score
from whisper_steer.lab.frames import Frames
from whisper_steer.sae.model import SAE

Pool = Literal["after", "before"]
"""mean and maximum of the codes of all frames, or the code of the mean activation (arXiv 2509.24793)"""


@dataclass
class Features:
    """Examples by features, which are one or more blocks of the same units: the means of all units, then the maxima."""

    x: Matrix
    """(n, blocks * n_units) float32"""
    n_units: int
    """latents, or dimensions of the activations"""
    active: float = float("nan")
    """of codes: latents above 0 in a frame, or in a pooled activation, on average"""

    def columns(self, units: np.ndarray) -> np.ndarray:
        return np.concatenate([units + start for start in range(0, self.x.shape[1], self.n_units)])

    def take(self, units: np.ndarray) -> Matrix:
        """All blocks of some units: (n, blocks * len(units))."""
        return self.x[:, self.columns(units)]

    def ranked(self, rows: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Units by Fisher score on some examples, the best first; a unit counts by its best block."""
        score = fisher_score(self.x[rows], y)
        return np.argsort(-score.reshape(-1, self.n_units).max(axis=0), kind="stable")


@torch.no_grad()
def encode(sae: SAE, hidden: np.ndarray, sparsity: float | None = None) -> Tensor:
    """Codes (n, n_latents) of activations (n, n_state).

    ``sparsity`` s: the int((1 - s) * n_latents) largest pre-activations of each, as arXiv 2509.24793 has it, in place
    of the SAE's own rule.
    """
    h = torch.from_numpy(np.ascontiguousarray(hidden)).float()
    if sparsity is None:
        return sae.encode(h)
    z = sae.pre_activations(sae.normalise(h)[0])
    top = z.topk(max(1, int(round((1 - sparsity) * z.shape[-1], 6))), dim=-1)
    return torch.zeros_like(z).scatter(-1, top.indices, top.values)


def pooled_codes(
    sae: SAE, frames: Frames, pool: Pool = "after", sparsity: float | None = None, maxima: bool = True
) -> Features:
    """Of each clip. ``maxima``: with the maximum over time beside the mean (``pool`` after only)."""
    if pool == "before":
        z = encode(sae, _means(frames), sparsity)
        return Features(z.numpy(), sae.config.n_latents, float((z > 0).sum() / len(z)))
    parts, active = [], 0
    for hidden in _by_clip(frames):
        z = encode(sae, hidden, sparsity)
        active += int((z > 0).sum())
        parts.append(torch.cat([z.mean(dim=0), z.amax(dim=0)]) if maxima else z.mean(dim=0))
    return Features(torch.stack(parts).numpy(), sae.config.n_latents, active / len(frames.hidden))


def pooled_dense(frames: Frames, pool: Pool = "after", maxima: bool = True) -> Features:
    """The activations themselves, pooled alike."""
    means = _means(frames)
    if pool == "before" or not maxima:
        return Features(means, means.shape[1])
    highest = np.stack([hidden.max(axis=0) for hidden in _by_clip(frames)]).astype(np.float32)
    return Features(np.hstack([means, highest]), means.shape[1])


def frame_codes(sae: SAE, hidden: np.ndarray) -> Features:
    """Of each frame, as a sparse matrix."""
    parts = [
        sparse.csr_matrix(encode(sae, hidden[i : i + 4096]).numpy()) for i in range(0, len(hidden), 4096)
    ]
    return Features(sparse.vstack(parts, format="csr"), sae.config.n_latents)


def _by_clip(frames: Frames) -> list[np.ndarray]:
    """Activations (m, n_state) of each clip; frames of a clip lie together."""
    return np.split(frames.hidden, np.searchsorted(frames.clip, np.arange(1, len(frames.clips))))


def _means(frames: Frames) -> np.ndarray:
    return np.stack([hidden.mean(axis=0, dtype=np.float32) for hidden in _by_clip(frames)])
