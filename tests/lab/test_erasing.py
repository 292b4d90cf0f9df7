"""Removing exactly the planted latents erases their concept, and no other; removing others does not."""

import numpy as np
import pytest

from whisper_steer.lab.concepts import Concept
from whisper_steer.lab.erasing import SHARES, erase_concept, falls, plot, principal, project_out, ranking_half
from whisper_steer.lab.hold_out import HoldOut
from whisper_steer.lab.pooled import Features

WIDTH = 100
PLANTED = [3, 50, 99]
KEPT = [10, 20]


@pytest.fixture
def example(rng: np.random.Generator) -> tuple[Features, np.ndarray, Concept, Concept]:
    """Latents of which 3 hold a concept and 2 another, and dense activations that hold both along one axis each."""
    n = 240
    held = HoldOut([(np.arange(120), np.arange(120, n))], np.arange(n).astype(str), "half")
    dog, loud = rng.random(n) < 0.5, rng.random(n) < 0.5
    codes = rng.random((n, WIDTH))
    codes[:, PLANTED] += 2.0 * dog[:, None]
    codes[:, KEPT] += 2.0 * loud[:, None]
    dense = rng.standard_normal((n, 20)).astype(np.float32)
    dense[:, 0] += 8 * dog
    dense[:, 1] += 6 * loud
    concept, other = (
        Concept(name, np.where(there, name, "rest"), held) for name, there in (("dog", dog), ("loud", loud))
    )
    return Features(codes, WIDTH), dense, concept, other


def test_the_planted_latents_are_the_concept(example: tuple[Features, np.ndarray, Concept, Concept]) -> None:
    found = {(each.remover, each.l2): each for each in erase_concept(*example[:3], [example[3]])}
    assert len(found) == 8
    for l2 in (True, False):
        latents = found["latents", l2]
        i = latents.falls_to(0.1)
        assert i is not None
        assert latents.removed[i] == len(PLANTED)
        assert latents.left[0].value > 0.9
        assert abs(latents.left[i].value) < 0.2
        assert latents.share_of_others(i) > 0.9
        chance = found["random latents", l2]
        assert (chance.falls_to(0.1) or len(SHARES)) > i
        # a direction estimated on other examples leaves a little of the axis behind
        one = found["PCA directions", l2].falls_to(0.6)
        assert one is not None
        assert found["PCA directions", l2].share_of_others(one) > 0.8
        assert (found["random directions", l2].falls_to(0.6) or len(SHARES)) > one
    row = falls(found["latents", True], (0.5, 0.1))
    assert row[0] == "latents"
    assert row[5:] == ["3 (3.0%)", row[6]]
    assert plot({"blocks.0": list(found.values())}).startswith("<svg")


def test_what_is_projected_out_is_gone_and_the_rest_is_kept(rng: np.random.Generator) -> None:
    x = rng.standard_normal((50, 6))
    y = np.where(x[:, 2] > 0, "a", "b")
    x[:, 2] *= 10
    directions = principal(x, y)
    assert np.allclose(directions @ directions.T, np.eye(6))
    left = project_out(x, directions[:1])
    assert np.allclose(left @ directions[0], 0, atol=1e-5)
    assert np.allclose(left @ directions[1:].T, x @ directions[1:].T, atol=1e-5)
    assert abs(directions[0, 2]) > 0.9  # the axis that parts the classes comes first


def test_directions_come_from_other_groups_than_the_probe_is_fitted_on() -> None:
    y = np.array(["dog", "rest"] * 8)
    units = np.repeat(list("abcdefgh"), 2).astype(object)
    ranked = ranking_half(Concept("dog", y, HoldOut([(np.arange(12), np.arange(12, 16))], units, "")), 0)
    assert len(ranked) == 6
    assert set(y[ranked]) == {"dog", "rest"}
    assert not set(units[ranked]) & set(units[np.setdiff1d(np.arange(12), ranked)])
    alone = np.array(["dog"] * 4 + ["rest"] * 12)  # a group is of one class: half of each class's
    ranked = ranking_half(Concept("dog", alone, HoldOut([(np.arange(12), np.arange(12, 16))], units, "")), 0)
    assert (alone[ranked] == "dog").sum() == 2
    assert len(ranked) == 6
