"""What the latents of an SAE do on clips, in numbers: how often each is active, on what, and how well it tells speech.

A latent is active where it is above 0. Its activations are kept sparse, so that all of them fit in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from scipy import sparse
from scipy.stats import rankdata

from whisper_steer.data.clips import Audio, Clip
from whisper_steer.data.labels import NONSPEECH, SPEECH, UNKNOWN, mark, spoken_frames
from whisper_steer.explain.sounds import names_of
from whisper_steer.lab.frames import Frames
from whisper_steer.sae.model import SAE

Domain = Literal["speech", "music", "environment"]
DOMAINS: tuple[Domain, ...] = get_args(Domain)
THRESHOLDS = (0.2, 0.1, 0.04)
"""of the activation frequency inside a domain less that outside, on frames (arXiv 2602.05027)"""
BINS = 24
"""of a histogram"""
HIGH = 95
"""percentile of a latent's activations, where it is active, that counts as its high value"""


@dataclass
class Numbers:
    """Of all latents of one SAE; every array ends in (n_latents,)."""

    auroc: np.ndarray
    """of the activation, frames of speech against other frames; NaN where one of them is missing"""
    density: np.ndarray
    """share of all frames on which the latent is active"""
    inside: np.ndarray
    """(domains, n_latents) share of a domain's frames on which it is active; NaN where the domain has none"""
    outside: np.ndarray
    """(domains, n_latents) the same of the other domains' frames"""
    high: np.ndarray
    largest: np.ndarray
    histogram: np.ndarray
    """(n_latents, `BINS`) active frames by activation, from 0 to the largest"""

    def domain(self) -> tuple[np.ndarray, np.ndarray]:
        """The domain with the largest gap of frequencies, by its place in `DOMAINS` or -1 where no gap is above the
        lowest of `THRESHOLDS`; and that gap."""
        gap = np.nan_to_num(self.inside - self.outside, nan=-np.inf)
        largest = gap.max(axis=0)
        return np.where(largest > THRESHOLDS[-1], gap.argmax(axis=0), -1), largest


def domain_of(clip: Clip) -> Domain | None:
    """What a clip is a sample of, by its label; None for what holds a voice beside other sound, and for recordings."""
    if clip.kind == "speech":
        return "speech"
    if clip.kind == "recording" or clip.voice:
        return None
    return "music" if "music" in names_of(clip.label or "") else "environment"


def spoken(clip: Clip, samples: Audio, n: int) -> np.ndarray:
    """(n,) int8 for the first n frames: SPEECH, NONSPEECH or UNKNOWN, as for fitting; unknown where a voice may be."""
    if clip.kind == "recording" or clip.voice:
        return np.full(n, UNKNOWN, np.int8)
    labels = np.full(n, NONSPEECH, np.int8)
    if clip.kind == "speech":
        mark(labels, spoken_frames(samples)[:n], 0)
    return labels


def frame_domains(clips: Sequence[Clip], clip: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n,) the domain of each frame by its place in `DOMAINS`, -1 for none: of speech clips only what is spoken.

    ``clip``: (n,) the place of each frame's clip; ``labels``: (n,) as by `spoken`.
    """
    found = np.array([DOMAINS.index(d) if (d := domain_of(c)) else -1 for c in clips])[clip]
    return np.where((found == DOMAINS.index("speech")) & (labels != SPEECH), -1, found)


@torch.no_grad()
def activity(sae: SAE, frames: Frames) -> Any:
    """All latents on all frames: a sparse (frames, n_latents) float32 matrix, by columns."""
    parts = [sparse.csr_matrix(sae.encode(h).cpu().numpy()) for h in frames.batches(2048)]
    return sparse.vstack(parts, format="csc")


def numbers(z: Any, labels: np.ndarray, domains: np.ndarray) -> Numbers:
    """Of latents (n, n_latents), sparse by columns. ``labels``, ``domains``: (n,) as by `spoken`, `frame_domains`."""
    n, n_latents = z.shape
    inside = frequency(z, domains, len(DOMAINS))
    frames = np.bincount(domains[domains >= 0], minlength=len(DOMAINS))[:, None]
    active = np.nan_to_num(inside) * frames
    others = frames.sum() - frames
    with np.errstate(invalid="ignore", divide="ignore"):
        outside = (active.sum(axis=0) - active) / others
    high, largest = np.zeros(n_latents), np.zeros(n_latents)
    histogram = np.zeros((n_latents, BINS), np.int64)
    for j in range(n_latents):
        values = z.data[z.indptr[j] : z.indptr[j + 1]]
        if len(values):
            high[j], largest[j] = np.percentile(values, HIGH), values.max()
            histogram[j] = np.histogram(values, BINS, (0, float(values.max())))[0]
    return Numbers(auroc(z, labels), np.diff(z.indptr) / n, inside, outside, high, largest, histogram)


def frequency(z: Any, group: np.ndarray, n_groups: int) -> np.ndarray:
    """(groups, n_latents) share of each group's frames on which a latent is active; NaN for a group without frames.

    ``group``: (n,) the group of each frame, -1 for none.
    """
    known = np.flatnonzero(group >= 0)
    shape = (n_groups, len(group))
    member = sparse.csr_matrix((np.ones(len(known), np.float32), (group[known], known)), shape)
    active = sparse.csc_matrix((np.ones(len(z.data), np.float32), z.indices, z.indptr), z.shape)
    with np.errstate(invalid="ignore"):
        return (member @ active).toarray() / np.bincount(group[known], minlength=n_groups)[:, None]


def auroc(z: Any, labels: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each column of z >= 0 (n, n_latents), SPEECH against NONSPEECH, ties counted half.

    The zeros of a column are one tie below all else, so that only what is active is ranked.
    """
    speech, other = int((labels == SPEECH).sum()), int((labels == NONSPEECH).sum())
    found = np.full(z.shape[1], np.nan)
    if not speech or not other:
        return found
    for j in range(z.shape[1]):
        part = slice(z.indptr[j], z.indptr[j + 1])
        label, values = labels[z.indices[part]], z.data[part]
        positive = label[label != UNKNOWN] == SPEECH
        p, q = int(positive.sum()), int((~positive).sum())
        ranks = rankdata(values[label != UNKNOWN])
        above = ranks[positive].sum() - p * (p + 1) / 2  # pairs, both active
        above += p * (other - q) + 0.5 * (speech - p) * (other - q)
        found[j] = above / (speech * other)
    return found


__all__ = [
    "BINS", "DOMAINS", "THRESHOLDS", "Numbers", "activity", "auroc", "domain_of", "frame_domains", "frequency",
    "numbers", "spoken",
]  # fmt: skip
