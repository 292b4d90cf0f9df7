"""If these fail, the set of known features is not the paper's, or dictionaries are credited with features they lack."""

import math

import pytest
import torch

from whisper_steer.lab import known as module
from whisper_steer.lab.known import Probabilities, known_features, recovery


@pytest.mark.parametrize("probabilities", ["constant", "log-uniform"])
def test_features_are_as_often_active_and_as_strong_as_they_should_be(probabilities: Probabilities) -> None:
    """As many dimensions as features and each of its own, so that what is active can be read off."""
    known = known_features(probabilities, n=200, features=200)
    known.directions = torch.eye(200)
    x = torch.cat([known.batch(5000, i) for i in range(8)])
    active = x > 0
    expected = 40_000 * known.probability
    off = (active.sum(dim=0) - expected) / expected.sqrt().clamp_min(1)
    assert float(off.abs().max()) < 5 and float(off.square().mean()) == pytest.approx(1, abs=0.4)
    logs = x[active].log()
    assert float(logs.mean()) == pytest.approx(0, abs=0.02) and float(logs.std()) == pytest.approx(
        0.25, abs=0.02
    )
    together = (active.float().T @ active.float()).fill_diagonal_(0).sum() / 2
    pairs = (float(known.probability.sum()) ** 2 - float(known.probability.square().sum())) / 2
    assert float(together) == pytest.approx(40_000 * pairs, rel=0.1)


def test_probabilities_are_spread_over_the_logarithm_and_twenty_are_active() -> None:
    known = known_features("log-uniform")
    tens = known.probability.log10()
    assert -5.5 <= float(tens.min()) < -5.4 and -1.3 < float(tens.max()) <= -1.2
    assert float(tens.mean()) == pytest.approx((-5.5 - 1.2) / 2, abs=0.1)
    assert float(known.probability.sum()) == pytest.approx(
        3200 * (10**-1.2 - 10**-5.5) / (4.3 * math.log(10)), rel=0.05
    )
    assert float(known_features("constant").probability.sum()) == pytest.approx(20)


def test_a_batch_depends_on_its_number_and_the_seed_alone() -> None:
    known = known_features("constant")
    assert torch.equal(known.batch(50, 3), known_features("constant").batch(50, 3))
    assert not torch.equal(known.batch(50, 3), known.batch(50, 4))
    assert not torch.equal(known.batch(50, 3), known_features("constant", seed=1).batch(50, 3))


def test_recovered_are_the_features_that_a_dictionary_holds_and_no_random_one_holds_any() -> None:
    known = known_features("log-uniform")
    found = recovery(3 * known.directions[:800].flip(0), known)
    assert found.share == 0.25
    assert found.of_activity == pytest.approx(float(known.probability[:800].sum() / known.probability.sum()))
    drawn = torch.randn(
        3200, 100, generator=torch.Generator().manual_seed(0)
    )  # the same seed as the features'
    assert recovery(drawn, known).share == 0 and module.RECOVERED == 0.8
