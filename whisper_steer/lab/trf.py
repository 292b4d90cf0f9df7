"""How well a latent predicts EEG: temporal response functions by mTRFpy, held out, against permuted latents.

A response function is a kernel of 0 to 500 ms by which a latent, convolved, predicts the EEG (Crosse et al. 2016,
doi 10.3389/fnhum.2016.00604; its Python form is mTRFpy, Bialas et al. 2023, doi 10.21105/joss.05657). Every trial is
predicted by a kernel fitted on the others, with the ridge parameter that predicts best among these others; r is the
mean over trials of the correlation of prediction and EEG. The same is done with latents moved against the EEG in
time, by another random stretch in each trial: what is left of r then is chance (arXiv 2602.05027, section on EEG).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from whisper_steer.errors import DataError, MissingPackageError
from whisper_steer.lab.eeg_signals import RATE

LAGS = (0.0, 0.5)
"""seconds by which EEG may follow a latent"""
RIDGE = 10.0 ** np.arange(6)
"""parameters to choose from, in mTRFpy's unit"""
GUARD = 2 * RATE
"""samples by which latents are moved at least, in either direction: more than the kernel and the 1 Hz edge"""
BLOCK = 512
"""permutations at a time: bounds memory"""


@dataclass
class HeldOut:
    """Of n latents and one subject."""

    r: np.ndarray
    """(n,) correlation of prediction and EEG, mean over held-out trials"""
    null: np.ndarray
    """(n, permutations) the same of permuted latents"""


def import_mtrf() -> Any:
    """The optional package; `MissingPackageError` where it is not installed."""
    try:
        import mtrf
        import mtrf.matrices
    except ImportError:
        raise MissingPackageError("this needs the package mtrf: pip install 'whisper-steer[eeg]'") from None
    return mtrf


def held_out(
    latents: list[np.ndarray],
    eeg: list[np.ndarray],
    permutations: int,
    rng: np.random.Generator,
    progress: str | None = None,
) -> HeldOut:
    """Each latent's correlation by itself. ``latents``: of each trial (samples, n), ``eeg``: (samples,), both at
    128 Hz. Raises `DataError` with fewer than three trials: one is held out, and one more to choose the ridge by."""
    if len(eeg) < 3:
        raise DataError(f"{len(eeg)} trials are too few: cut the recording into three or more")
    moves = [rng.integers(GUARD, len(y) - GUARD, permutations, endpoint=True) for y in eeg]
    n = latents[0].shape[1]
    found = np.empty((n, 1 + permutations))
    blocks = range(0, 1 + permutations, BLOCK)
    bar = tqdm(total=n * len(blocks), desc=progress, unit="latent", disable=progress is None)
    for first in blocks:
        last = min(first + BLOCK, 1 + permutations)
        # EEG moved back against a latent is the latent moved forward against EEG, and the kernels of all moves are
        # solved for together, each a channel of its own
        moved = [_moved(y, m, first, last) for y, m in zip(eeg, moves, strict=True)]
        for j in range(n):
            found[j, first:last] = _correlations([z[:, [j]] for z in latents], moved)
            bar.update()
    bar.close()
    return HeldOut(found[:, 0], found[:, 1:])


def _moved(y: np.ndarray, moves: np.ndarray, first: int, last: int) -> np.ndarray:
    """(samples, columns first to last): column 0 is the EEG itself, column i is moved by moves[i - 1]."""
    shifts = np.concatenate([[0], moves])[first:last]
    return np.asarray(y[(np.arange(len(y))[:, None] + shifts[None]) % len(y)])


def _correlations(x: list[np.ndarray], y: list[np.ndarray]) -> np.ndarray:
    """(columns of y,) held-out correlation, ridge chosen for each column among the training trials.

    All is computed from the covariances of single trials, as mTRFpy's own cross-validation does it; the correlation
    of a prediction follows from them as well.
    """
    matrices = import_mtrf().matrices
    lags = matrices.lags_idx(np, *LAGS, RATE)
    parts = [matrices.covariance_matrices([a], [b], lags) for a, b in zip(x, y, strict=True)]
    xx, xy = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    sum_xx, sum_xy = xx.sum(axis=0), xy.sum(axis=0)
    trials, columns = len(x), y[0].shape[1]
    scores = np.zeros((len(RIDGE), trials, trials, columns))
    """of trial i by a kernel fitted without i and j; where i is j, without i"""
    identity = np.eye(len(sum_xx))
    for i in range(trials):
        for j in range(i, trials):
            left = [i] if i == j else [i, j]
            n = trials - len(left)
            mean_xx, mean_xy = (sum_xx - xx[left].sum(axis=0)) / n, (sum_xy - xy[left].sum(axis=0)) / n
            # once for all columns: what turns their covariances with the latent into kernels
            solved = [
                matrices.fit_weights_with_covariance_matrices(mean_xx, identity, RATE, ridge)
                for ridge in RIDGE
            ]
            w = np.stack([each @ mean_xy for each in solved])
            for t in left:
                scores[:, t, j if t == i else i] = _correlation(w, xx[t], xy[t], y[t])
    found = np.empty((trials, columns))
    for i in range(trials):
        others = [t for t in range(trials) if t != i]
        best = scores[:, others, i].mean(axis=1).argmax(axis=0)
        found[i] = scores[best, i, i, np.arange(columns)]
    return found.mean(axis=0)


def _correlation(w: np.ndarray, xx: np.ndarray, xy: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(ridges, columns): of the EEG y (samples, columns) of a trial and its prediction by kernels w (ridges,
    1 + lags, columns), whose first row is the constant; 0 where the prediction is flat.

    xx and xy: covariances of the trial as mTRFpy's, with a first row of sums.
    """
    n = len(y)
    predicted = xx @ w
    mean_p, mean_y = predicted[:, 0] / n, xy[0] / n
    covariance = np.einsum("klc,lc->kc", w, xy) / n - mean_p * mean_y
    variance = np.einsum("klc,klc->kc", w, predicted) / n - mean_p**2
    spread = np.sqrt(np.clip(variance, 0, None) * y[:, 0].var())  # a moved EEG varies as much as before
    return np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 1e-12)


def kernel(x: list[np.ndarray], y: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Lags in seconds and the response function of one latent, both (65,): fitted on all trials (samples,), with the
    ridge parameter that predicts best when trials are held out."""
    trf = import_mtrf().TRF()
    trf.train([z[:, None] for z in x], [z[:, None] for z in y], RATE, *LAGS, list(RIDGE), verbose=False)
    return np.asarray(trf.times), np.asarray(trf.weights[0, :, 0])
