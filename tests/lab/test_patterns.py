"""If these fail, features are called stable that are not, or the other way round."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from sklearn.metrics import jaccard_score

from whisper_steer.lab import patterns
from whisper_steer.lab.patterns import alive, chance, closest, coverage, matches
from whisper_steer.sae.model import SAE, SAEConfig


def drawn(frames: int, latents: int, share: float, seed: int) -> csr_array:
    return csr_array((np.random.default_rng(seed).random((frames, latents)) < share).astype(np.int32))


def test_iou_is_the_jaccard_index_of_sklearn_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "BLOCK", 3)
    a, b = drawn(80, 7, 0.3, 0), drawn(80, 10, 0.4, 1)
    dense_a, dense_b = a.toarray(), b.toarray()
    expected = np.array([[jaccard_score(x, y) for y in dense_b.T] for x in dense_a.T])
    found = matches(a, b)
    np.testing.assert_allclose(found.iou, expected.max(axis=1))
    np.testing.assert_array_equal(found.partner, expected.argmax(axis=1))


def test_a_permuted_copy_is_covered_whole_and_chance_is_not() -> None:
    a = drawn(3000, 40, 0.05, 0)
    order = np.random.default_rng(1).permutation(40)
    b, groups = a[:, order], np.repeat(np.arange(10), 300)
    found = matches(a, b)
    np.testing.assert_array_equal(order[found.partner], np.arange(40))
    estimate = coverage(a, b, found, groups)
    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (1, 1, 1, 10)
    assert chance(a, b) == 0


@pytest.mark.parametrize(("p", "q", "share"), [(0.1, 0.2, 0.0), (0.8, 0.75, 1.0)])
def test_independent_latents_overlap_by_the_closed_form(p: float, q: float, share: float) -> None:
    """pq / (p + q - pq): rare ones never match, and ones that are always active always do, which chance then says."""
    a, b = drawn(40_000, 1, p, 0), drawn(40_000, 1, q, 1)
    found = matches(a, b)
    assert found.iou[0] == pytest.approx(p * q / (p + q - p * q), abs=0.01)
    assert coverage(a, b, found, np.zeros(40_000, np.int64)).value == chance(a, b) == share


def test_duplicates_are_found_within_an_sae_and_no_latent_is_its_own() -> None:
    pattern = drawn(2000, 6, 0.1, 0).toarray()
    pattern[:, 4] = pattern[:, 1]
    found = matches(csr_array(pattern), csr_array(pattern), same=True)
    assert np.flatnonzero(found.iou > 0.5).tolist() == [1, 4] and found.partner[1] == 4


def test_the_interval_holds_the_share_that_half_agreeing_sets_have() -> None:
    """Latents that agree in some groups alone: the interval is as wide as that makes it; dead ones are out."""
    a = drawn(4000, 30, 0.1, 0).toarray()
    a[:, 29] = 0
    b = a.copy()
    groups = np.repeat(np.arange(20), 200)
    for latent in range(20):
        b[groups >= latent, latent] = 0
    estimate = coverage(csr_array(a), csr_array(b), matches(csr_array(a), csr_array(b)), groups)
    assert alive(csr_array(a)).sum() == 29
    assert estimate.value == pytest.approx((9 + 9) / 29, abs=1.1 / 29)
    assert 0.4 < estimate.low < estimate.value < estimate.high < 0.9


def test_patterns_are_where_the_sae_is_active_and_directions_have_their_cosine() -> None:
    sae = SAE(SAEConfig(16, 4, k=4), torch.Generator().manual_seed(0))
    sae.threshold.fill_(0.2)
    h = torch.randn(50, 16, generator=torch.Generator().manual_seed(1))
    assert (patterns.patterns(sae, h.split(20)).toarray() == (sae.encode(h) > 0).numpy()).all()
    turned = torch.tensor([[0.0, 3.0], [1.0, 1.0]])
    torch.testing.assert_close(
        closest(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), turned), torch.tensor([0.5**0.5, 1.0])
    )
