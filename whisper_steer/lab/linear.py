"""Linear probes and how they are scored: balanced accuracy and Matthews correlation, with intervals over groups."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from whisper_steer.eval.intervals import Array, Estimate, bootstrap, group_sums
from whisper_steer.lab.fisher import Matrix

STEPS = 200
"""of L-BFGS at most: without a penalty, classes that a plane can part have no end"""


def fit_probe(x: Matrix, y: np.ndarray, l2: bool = True) -> Any:
    """Logistic regression on standardised features, classes weighed equally; C is 1 with an L2 penalty.

    ``x`` (n, n_features), dense or CSR, whose features are then only scaled. Returns what has ``predict``.
    """
    probe = make_pipeline(
        StandardScaler(with_mean=not sparse.issparse(x)),
        LogisticRegression(C=1.0 if l2 else np.inf, class_weight="balanced", max_iter=STEPS, tol=1e-3),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return probe.fit(x, y)


def balanced_accuracy(y: np.ndarray, predicted: np.ndarray, units: np.ndarray) -> Estimate:
    """Mean recall of the classes; ``units`` (n,) str are resampled."""
    names = np.unique(y)
    right = [((y == name) & (predicted == name)).astype(float) for name in names]
    there = [(y == name).astype(float) for name in names]

    def statistic(totals: Array) -> Array:
        hits, sizes = totals[:, : len(names)], totals[:, len(names) :]
        recall = np.divide(hits, sizes, out=np.full(hits.shape, np.nan), where=sizes > 0)
        return np.asarray(np.nansum(recall, axis=1) / (sizes > 0).sum(axis=1))

    return bootstrap(group_sums(list(units), [*right, *there]), statistic)


def matthews(y: np.ndarray, predicted: np.ndarray, units: np.ndarray) -> Estimate:
    """Matthews correlation of two classes or more (Gorodkin 2004); ``units`` are resampled. 0 where it is undefined,
    as where a probe says one class only."""
    names = np.unique(np.concatenate([y, predicted]))
    right = (y == predicted).astype(float)
    truth = [(y == name).astype(float) for name in names]
    said = [(predicted == name).astype(float) for name in names]

    def statistic(totals: Array) -> Array:
        t, p = totals[:, 1 : 1 + len(names)], totals[:, 1 + len(names) :]
        s = t.sum(axis=1)
        above = totals[:, 0] * s - (t * p).sum(axis=1)
        below = np.sqrt((s**2 - (p**2).sum(axis=1)) * (s**2 - (t**2).sum(axis=1)))
        return np.divide(above, below, out=np.zeros(len(s)), where=below > 0)

    return bootstrap(group_sums(list(units), [right, *truth, *said]), statistic)
