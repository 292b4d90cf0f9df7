"""Latents that stand for one domain of sound: how often each is active inside it against outside.

arXiv 2602.05027 counts latents whose frequency of activation inside a domain exceeds that in its complement by a
threshold: 0.2, 0.1 and 0.04 of frames, 0.5 and 0.3 of clips. Read here as f_in - f_out > threshold, where f_in is the
share of all frames of the domain in which the latent is active and f_out that of the frames of all other domains
together; of clips likewise, a clip counting where the latent is active in any frame. A latent may stand for two
domains against the third and then counts for both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.stats import rankdata

from whisper_steer.data.clips import Clip
from whisper_steer.data.splits import halves
from whisper_steer.eval.intervals import RESAMPLES, Estimate

FRAME_THRESHOLDS, CLIP_THRESHOLDS = (0.2, 0.1, 0.04), (0.5, 0.3)
"""those of the paper"""

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass
class Activity:
    """Of n clips."""

    active: Floats
    """(n, n_latents) frames in which each latent is active"""
    strength: Floats
    """(n, n_latents) mean activation over a clip's frames"""
    frames: Floats
    """(n,)"""


@dataclass
class Frequency:
    """Of every latent, inside a domain and outside: all (n_latents,) and between 0 and 1."""

    frames_in: Floats
    frames_out: Floats
    clips_in: Floats
    clips_out: Floats

    def counts(self) -> dict[str, int]:
        """Latents above each threshold."""
        frames, clips = self.frames_in - self.frames_out, self.clips_in - self.clips_out
        return {f"frames > {t}": int((frames > t).sum()) for t in FRAME_THRESHOLDS} | {
            f"clips > {t}": int((clips > t).sum()) for t in CLIP_THRESHOLDS
        }


def by_clip(clip: npt.NDArray[np.int64], n: int) -> csr_array:
    """(n, frames): the matrix that sums frames over the clips that they are of."""
    return csr_array((np.ones(len(clip)), (clip, np.arange(len(clip)))), (n, len(clip)))


def frequency(activity: Activity, inside: Bools) -> Frequency:
    """Inside the clips (n,) that are marked, and outside."""
    some = activity.active > 0
    return Frequency(
        *(activity.active[part].sum(axis=0) / activity.frames[part].sum() for part in (inside, ~inside)),
        *(some[part].mean(axis=0) for part in (inside, ~inside)),
    )


def aurocs(scores: Floats, positive: Bools) -> Floats:
    """(n_latents,) areas under the ROC of scores (n, n_latents), by Mann and Whitney's ranks; ties count half."""
    ranks = rankdata(scores, axis=0)[positive].sum(axis=0)
    n, m = int(positive.sum()), int((~positive).sum())
    return np.asarray((ranks - n * (n + 1) / 2) / (n * m))


@dataclass
class Separability:
    """Of speech from all else by one latent's mean activation over a clip."""

    latent: int
    more: bool
    """whether it is more active in speech"""
    auroc: Estimate


def separability(
    activity: Activity, clips: list[Clip], positive: Bools, seed: int = 0
) -> Separability | None:
    """The latent is chosen on half of the groups and measured on the other, the interval resampling the groups of
    speech and those of all else. None where a half lacks one of the two."""
    first = {id(clip) for clip in halves(clips)[0]}
    chosen_on = np.array([id(clip) in first for clip in clips])
    if any(len(set(positive[part])) < 2 for part in (chosen_on, ~chosen_on)):
        return None
    there = aurocs(activity.strength[chosen_on], positive[chosen_on])
    latent = int(np.abs(there - 0.5).argmax())
    more = bool(there[latent] > 0.5)
    score = activity.strength[~chosen_on, latent] * (1 if more else -1)
    speech = positive[~chosen_on]
    groups = np.array([clip.group for clip, left in zip(clips, ~chosen_on, strict=True) if left])
    return Separability(
        latent, more, grouped_auroc(score[speech], groups[speech], score[~speech], groups[~speech], seed)
    )


def grouped_auroc(
    high: Floats, high_groups: np.ndarray, low: Floats, low_groups: np.ndarray, seed: int
) -> Estimate:
    """The share of pairs (one of ``high``, one of ``low``) in the right order; percentile bootstrap over groups."""
    won = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    sums = _sum_groups(_sum_groups(won, high_groups).T, low_groups).T
    n_high, n_low = (_sum_groups(np.ones((len(g), 1)), g)[:, 0] for g in (high_groups, low_groups))
    rng = np.random.default_rng(seed)
    a, b = (rng.multinomial(len(n), np.full(len(n), 1 / len(n)), size=RESAMPLES) for n in (n_high, n_low))
    draws = ((a @ sums) * b).sum(axis=1) / ((a @ n_high) * (b @ n_low))
    low_end, high_end = np.quantile(draws, [0.025, 0.975])
    return Estimate(float(won.mean()), float(low_end), float(high_end), len(n_high) + len(n_low))


def _sum_groups(rows: Floats, groups: np.ndarray) -> Floats:
    names, index = np.unique(groups, return_inverse=True)
    out = np.zeros((len(names), rows.shape[1]))
    np.add.at(out, index, rows)
    return out


__all__ = [
    "CLIP_THRESHOLDS", "FRAME_THRESHOLDS", "Activity", "Frequency", "Separability", "aurocs", "by_clip", "frequency",
    "grouped_auroc", "separability",
]  # fmt: skip
