"""Fisher scores: how far the classes of a feature lie apart, by which AudioSAE (arXiv 2602.05027) ranks latents."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

Matrix = Any
"""(examples, features), a NumPy array or a CSR matrix of SciPy"""


def fisher_score(x: Matrix, y: np.ndarray) -> np.ndarray:
    """Variance between the classes over variance inside them, of each feature: (n_features,) float64.

    F = sum_c n_c (mean_c - mean)^2 / sum_c n_c var_c (Duda, Hart and Stork, Pattern Classification, 3.8). ``x``
    (n, n_features) dense or CSR; ``y`` (n,) classes. 0 where a feature never changes; infinite where it changes only
    between classes.
    """
    names, index = np.unique(y, return_inverse=True)
    member = sparse.csr_matrix((np.ones(len(y)), (index, np.arange(len(y)))), shape=(len(names), len(y)))
    sizes = np.bincount(index)[:, None]
    centre = np.asarray(x.mean(axis=0), dtype=np.float64).reshape(1, -1)
    means = _dense(member @ x) / sizes
    squares = _dense(member @ (x.multiply(x) if sparse.issparse(x) else np.square(x, dtype=np.float64)))
    between = (sizes * (means - centre) ** 2).sum(axis=0)
    within = (squares - sizes * means**2).sum(axis=0)
    # rounding leaves about 1e-16 of the squares: what is smaller is none
    floor = 1e-12 * squares.sum(axis=0)
    between, within = np.where(between > floor, between, 0.0), np.where(within > floor, within, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nan_to_num(between / within, nan=0.0, posinf=np.inf)


def _dense(product: Matrix) -> np.ndarray:
    return np.asarray(product.todense() if sparse.issparse(product) else product, dtype=np.float64)
