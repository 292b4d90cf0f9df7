"""Probes are scored as scikit-learn scores them; an interval is over speakers, not over their clips."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import balanced_accuracy_score, matthews_corrcoef

from whisper_steer.lab.linear import balanced_accuracy, fit_probe, matthews


@pytest.mark.parametrize("n_classes", [2, 5])
def test_scores_are_those_of_scikit_learn(n_classes: int, rng: np.random.Generator) -> None:
    y = rng.integers(0, n_classes, 300).astype(str)
    said = np.where(rng.random(300) < 0.6, y, rng.integers(0, n_classes, 300).astype(str))
    units = rng.integers(0, 30, 300).astype(str)
    for ours, theirs in ((balanced_accuracy, balanced_accuracy_score), (matthews, matthews_corrcoef)):
        found = ours(y, said, units)
        assert found.value == pytest.approx(theirs(y, said))
        assert found.low < found.value < found.high
        assert found.n == 30


def test_a_probe_that_says_one_class_only_has_no_correlation() -> None:
    y, units = np.array(["a", "b"] * 5), np.array(list("ssttuuvvww"))
    assert matthews(y, np.array(["a"] * 10), units).value == 0.0


@pytest.mark.parametrize("l2", [True, False])
def test_a_probe_finds_a_rare_class_in_sparse_and_dense_codes(l2: bool, rng: np.random.Generator) -> None:
    y = np.where(rng.random(400) < 0.1, "rare", "rest")
    x = rng.random((400, 20)) * (rng.random((400, 20)) < 0.2)
    x[:, 3] += 2 * (y == "rare")
    for each in (x, sparse.csr_matrix(x)):
        assert (fit_probe(each, y, l2).predict(each) == y).mean() > 0.98
