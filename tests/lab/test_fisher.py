"""Latents are ranked by the score that the paper ranks them by, however the codes are stored."""

import numpy as np
from scipy import sparse
from sklearn.feature_selection import f_classif

from whisper_steer.lab.fisher import fisher_score


def test_two_classes_have_the_closed_form() -> None:
    x = np.array([[0.0], [2.0], [10.0], [14.0]])
    # means 1 and 12 about 6.5: between 2 * 5.5^2 * 2 = 121; within 2 * 1 + 2 * 4 = 10
    assert np.allclose(fisher_score(x, np.array(["a", "a", "b", "b"])), 12.1)


def test_many_classes_rank_as_the_f_statistic_and_sparse_as_dense(rng: np.random.Generator) -> None:
    y = rng.integers(0, 4, 200)
    x = rng.standard_normal((200, 6)) * (rng.random((200, 6)) < 0.3) + y[:, None] * np.linspace(0, 1, 6)
    score = fisher_score(x, y)
    assert np.allclose(score * (200 - 4) / (4 - 1), f_classif(x, y)[0])
    assert np.allclose(score, fisher_score(sparse.csr_matrix(x), y))


def test_a_feature_that_never_changes_is_last_and_one_that_only_tells_classes_apart_is_first() -> None:
    y = np.array(["a", "a", "b", "b"])
    x = np.array([[3.3, 0.1], [3.3, 0.1], [3.3, 0.7], [3.3, 0.7]], np.float32)
    assert fisher_score(x, y).tolist() == [0.0, np.inf]
