"""DCI has its closed form where codes are factors and where they are all alike; noise explains nothing held out."""

import numpy as np
import pytest

from whisper_steer.lab.dci import completeness, disentanglement, measure


def test_a_permutation_is_disentangled_and_complete(rng: np.random.Generator) -> None:
    importance = np.eye(6)[rng.permutation(6)] * rng.uniform(1, 5, 6)
    assert np.allclose(completeness(importance), 1)
    assert np.allclose(disentanglement(importance)[0], 1)
    assert disentanglement(importance)[1] == pytest.approx(1)


def test_codes_that_are_all_alike_are_neither() -> None:
    importance = np.full((6, 4), 0.3)
    assert np.allclose(completeness(importance), 0)
    assert disentanglement(importance)[1] == pytest.approx(0)


def test_a_code_counts_by_its_importance_and_one_without_any_does_not() -> None:
    importance = np.array([[3.0, 0.0], [0.5, 0.5], [0.0, 0.0], [0.0, 0.0]])
    each, average = disentanglement(importance)
    assert each[:2].tolist() == pytest.approx([1, 0])
    assert np.isnan(each[2:]).all()
    assert average == pytest.approx(3 / 4)
    p = 3 / 3.5
    assert completeness(importance)[0] == pytest.approx(
        1 + (p * np.log(p) + (1 - p) * np.log(1 - p)) / np.log(4)
    )
    assert completeness(importance)[1] == pytest.approx(1)
    assert np.isnan(completeness(np.zeros((2, 1)))).all()


def test_lasso_finds_planted_factors_and_the_published_way_flatters_noise(rng: np.random.Generator) -> None:
    x = rng.standard_normal((120, 200))
    factors = np.stack([2 * x[:, 4], x[:, 9] - 3 * x[:, 17], rng.standard_normal(120)], axis=1)
    fit, choose, test = np.split(np.arange(120), [60, 90])
    found = measure(x, factors, fit, choose, test)
    assert found.importance[:, 0].argmax() == 4
    assert set(np.argsort(-found.importance[:, 1])[:2]) == {9, 17}
    assert found.informativeness[0] > 0.9
    assert found.effective_codes()[0] < 2
    assert found.informativeness[2] < 0.1
    assert found.chosen_by[2] < 0.1
    assert measure(x, factors, fit, fit, fit).informativeness[2] > 0.5
