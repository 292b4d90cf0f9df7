"""If these fail, known features that can be recovered are not, or a control learns what it must not."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from whisper_steer.lab.known import KnownFeatures, known_features, recovery
from whisper_steer.lab.learners import Control, Kind, Plan, learn, smallest_kept
from whisper_steer.sae.sparsity import batch_top_k

EASY = Plan(steps=300, batch=128, k=2, latents=48, learning_rate=1e-2)


@pytest.fixture(scope="module")
def known() -> KnownFeatures:
    """32 features, 2 of them active at a time, of 16 dimensions."""
    made = known_features("constant", n=16, features=32)
    made.probability[:] = 2 / 32
    return made


@pytest.mark.parametrize("kind", ["batch-topk", "topk", "relu", "jumprelu"])
def test_every_kind_recovers_an_easy_set_with_about_k_latents(kind: Kind, known: KnownFeatures) -> None:
    learned, at_first = (
        learn(kind, "trained", lambda step: known.batch(128, step), replace(EASY, steps=n))
        for n in (EASY.steps, 1)
    )
    x = known.batch(2000, 10_000)
    z = learned.encode(x)
    left = float((x - learned.decode(z)).square().sum() / (x - x.mean(dim=0)).square().sum())
    assert recovery(at_first.W_dec, known).share < 0.3
    assert recovery(learned.W_dec, known).share > 0.6
    assert left < (0.8 if kind == "relu" else 0.25)  # its penalty shrinks what it finds
    assert 1.5 < float((z > 0).sum(dim=1).float().mean()) < 5


@pytest.mark.parametrize("control", ["soft-frozen decoder", "frozen decoder", "frozen encoder"])
def test_controls_are_held_fast(control: Control, known: KnownFeatures) -> None:
    before, after = (
        learn("topk", control, lambda step: known.batch(128, step), replace(EASY, steps=n)) for n in (1, 60)
    )
    cosine = (before.W_dec * after.W_dec).sum(dim=1)
    same_encoder = torch.equal(before.W_enc, after.W_enc)
    if control == "frozen decoder":
        assert torch.equal(before.W_dec, after.W_dec) and not same_encoder
    elif control == "frozen encoder":
        assert same_encoder and float(cosine.min()) < 0.9
    else:
        assert 0.78 < float(cosine.min()) < 0.9 and not same_encoder
    torch.testing.assert_close(after.W_dec.norm(dim=1), torch.ones(48))


def test_a_frozen_decoder_has_the_covariance_of_the_data() -> None:
    """Data that vary in one direction alone: so do the decoder's, which are else spread evenly."""

    def batch(step: int) -> Tensor:
        generator = torch.Generator().manual_seed(step)
        return torch.randn(128, 16, generator=generator) * torch.tensor([1.0] + [0.001] * 15)

    for control, share in (("frozen decoder", 0.99), ("trained", 1 / 16)):
        learned = learn("topk", control, batch, replace(EASY, steps=1, learning_rate=0.0))  # type: ignore[arg-type]
        assert float(learned.W_dec[:, 0].square().mean()) == pytest.approx(share, abs=0.02)


def test_the_smallest_kept_is_that_of_the_trainer_whatever_the_threshold_was() -> None:
    pre = torch.randn(20, 50, generator=torch.Generator().manual_seed(0)).relu()
    expected = batch_top_k(pre, 4)[1]
    for before in (0.0, float(expected), 1.3 * float(expected), 10.0):
        assert smallest_kept(pre, 4, torch.tensor(before)) == expected
