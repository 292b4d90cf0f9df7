"""If these fail, the wrong latents are clamped: those that only look like speech, or with the wrong sign."""

import numpy as np
import torch
from helpers import random_sae
from sklearn.metrics import roc_auc_score
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer

from whisper_steer.encoders.prefix import run_from
from whisper_steer.fit.scoring import auroc, silence_gradient, silence_log_odds
from whisper_steer.models.hooks import read_activations


def test_auroc_is_scikit_learns_also_with_many_zeros() -> None:
    rng = np.random.default_rng(0)
    values = np.maximum(rng.normal(size=(500, 6)) - 0.5, 0)
    target = rng.random(500) < 0.3
    values[target] *= 1.5
    ours = auroc(torch.from_numpy(values), torch.from_numpy(target))
    expected = [roc_auc_score(target, values[:, i]) for i in range(6)]
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-6)


@torch.no_grad()
def test_running_on_from_a_hook_point_gives_the_encoders_own_features(tiny_model: Whisper) -> None:
    mel = torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))
    stock = tiny_model.encoder(mel)
    for point, hidden in read_activations(
        tiny_model.encoder, mel, ["blocks.0", "blocks.1", "ln_post"]
    ).items():
        assert torch.equal(run_from(tiny_model.encoder, point, hidden), stock), point


@torch.no_grad()
def test_log_odds_of_silence_are_those_of_the_decoder(tiny_model: Whisper) -> None:
    features = torch.randn(2, 1500, 32, generator=torch.Generator().manual_seed(1))
    tokenizer = get_tokenizer(multilingual=False)
    logits = tiny_model.decoder(
        torch.tensor([[*tokenizer.sot_sequence_including_notimestamps]] * 2), features
    )
    p = logits[:, -1, : tokenizer.eot + 1].softmax(dim=-1)[:, tokenizer.eot]
    torch.testing.assert_close(
        silence_log_odds(tiny_model, features), torch.log(p / (1 - p)), atol=1e-3, rtol=1e-3
    )


def test_the_gradient_points_where_silence_becomes_likelier(tiny_model: Whisper) -> None:
    hidden = torch.randn(1, 1500, 32, generator=torch.Generator().manual_seed(2))
    gradient = silence_gradient(tiny_model, "blocks.1", hidden)
    step = 1e-2 * gradient / gradient.norm()
    with torch.no_grad():
        up, down = (
            silence_log_odds(tiny_model, run_from(tiny_model.encoder, "blocks.1", hidden + sign * step))
            for sign in (1, -1)
        )
    torch.testing.assert_close((up - down) / 2e-2, gradient.norm()[None], atol=1e-4, rtol=0.05)


def test_random_sae_is_what_other_tests_take_it_for() -> None:
    z = random_sae().encode(torch.randn(100, 32, generator=torch.Generator().manual_seed(3)))
    assert 0.02 < float((z > 0).float().mean()) < 0.98
