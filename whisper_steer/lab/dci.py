"""Disentanglement, completeness and informativeness of codes against known factors (Eastwood and Williams, ICLR 2018).

Importance is the absolute weight of a Lasso from standardised codes to a standardised factor, as in arXiv 2509.24793
(alpha .1). A factor is complete where few codes are needed for it; a code is disentangled where it serves few factors;
informativeness is R2. That paper fits and scores on the same clips of test, which flatters wide codes: with fewer clips
than codes a Lasso explains noise. `measure` scores on other clips than it fits on.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

ALPHA = 0.1


def completeness(importance: np.ndarray) -> np.ndarray:
    """C_j = 1 - H_D of the column of a factor made a distribution over the D codes: (n_factors,), NaN for a factor
    that no code serves. ``importance`` (n_codes, n_factors), not negative. 1: one code; 0: all alike."""
    return np.asarray(1 - entropies(importance.T) / np.log(len(importance)))


def disentanglement(importance: np.ndarray) -> tuple[np.ndarray, float]:
    """D_i = 1 - H_K of the row of a code made a distribution over the K factors: (n_codes,), NaN for a code that
    serves none; and their mean weighted by each code's share of all importance."""
    each = 1 - entropies(importance) / np.log(importance.shape[1])
    weight = importance.sum(axis=1)
    if weight.sum() == 0:
        return each, float("nan")
    used = weight > 0
    return each, float((each[used] * weight[used]).sum() / weight.sum())


def entropies(rows: np.ndarray) -> np.ndarray:
    """In nats, of each row made a distribution; NaN where a row is 0 throughout."""
    total = rows.sum(axis=1, keepdims=True)
    p = np.divide(rows, total, out=np.full(rows.shape, np.nan), where=total > 0)
    return np.asarray(-(p * np.log(np.where(p > 0, p, 1))).sum(axis=1))


@dataclass
class Measured:
    """Of one representation."""

    importance: np.ndarray
    """(n_codes, n_factors)"""
    chosen_by: np.ndarray
    """(n_factors,) R2 on the clips that the best factors are chosen on"""
    informativeness: np.ndarray
    """(n_factors,) R2 on the clips that are reported"""

    def effective_codes(self) -> np.ndarray:
        """exp of the entropy: how many codes serve each factor, whatever the width; (n_factors,)."""
        return np.exp(entropies(self.importance.T))


def measure(
    x: np.ndarray, factors: np.ndarray, fit: np.ndarray, choose: np.ndarray, test: np.ndarray, alpha: float = ALPHA
) -> Measured:  # fmt: skip
    """Lassos from codes ``x`` (n, n_codes) to ``factors`` (n, n_factors), fitted on the rows ``fit`` (both sides
    standardised there) and scored on the rows ``choose`` and ``test``; the same rows thrice are arXiv 2509.24793's way.
    """
    codes = StandardScaler().fit(x[fit]).transform(x)
    targets = StandardScaler().fit(factors[fit]).transform(factors)
    weights = np.zeros((x.shape[1], factors.shape[1]))
    scores = np.zeros((2, factors.shape[1]))
    for j in range(factors.shape[1]):
        lasso = Lasso(alpha=alpha, max_iter=10000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            lasso.fit(codes[fit], targets[fit, j])
        weights[:, j] = np.abs(lasso.coef_)
        for i, rows in enumerate((choose, test)):
            scores[i, j] = r2_score(targets[rows, j], lasso.predict(codes[rows]))
    return Measured(weights, scores[0], scores[1])
