"""If these fail, the latents that silence the decoder are not those, or speech is taken for none."""

import numpy as np
import torch
from helpers import random_sae
from whisper.model import Whisper

from whisper_steer.encoders.prefix import run_from
from whisper_steer.encoders.record import Activations
from whisper_steer.fit.silence import (
    CHANGED,
    Training,
    calibrate,
    effects,
    find_change,
    fit_condition,
    not_silent,
    silent_score,
    spoken_score,
)


def windows(n: int, speech: bool, latent: int, seed: int) -> Activations:
    """Ten seconds of audio each, along one latent's direction, with noise."""
    sae, rng = random_sae(), np.random.default_rng(seed)
    hidden = sae.mean.numpy() + rng.standard_normal((n, 1500, 32)) * 0.3
    hidden[:, :500] += 3 * sae.W_enc.detach()[:, latent].numpy()
    return Activations(
        hidden.astype(np.float16),
        np.full((n, 1500), speech, np.int8),
        np.full(n, 500),
        np.full(n, speech),
        ["clean"] * n,
    )


def test_the_condition_holds_on_non_speech_alone() -> None:
    sae, speech = random_sae(), windows(20, True, latent=9, seed=1)
    condition = fit_condition(sae, windows(20, False, latent=5, seed=0), (speech,))
    calibrate(condition, windows(20, True, latent=9, seed=2), windows(20, True, latent=9, seed=3))
    unseen = windows(5, False, latent=5, seed=4), windows(5, True, latent=9, seed=5)
    told = [torch.stack([each.frames(i) for i in range(5)]) for each in unseen]
    assert condition.holds(told[0])[:, :400].all()
    assert not condition.holds(told[1])[:, :400].any()


def test_the_change_silences_and_has_few_latents(tiny_model: Whisper) -> None:
    sae, nonspeech = random_sae(), windows(6, False, latent=5, seed=0)
    change = find_change(tiny_model, "blocks.0", sae, nonspeech, Training(steps=30, batch=3))
    assert 0 < int((change != 0).sum()) <= CHANGED
    h = torch.stack([nonspeech.frames(i) for i in range(6)])
    moved = h.clone()
    moved[:, :500] += (sae.normalise(h)[1] * (change @ sae.W_dec))[:, :500].detach()
    before, after = (not_silent(tiny_model, run_from(tiny_model.encoder, "blocks.0", x)) for x in (h, moved))
    assert after.mean() < before.mean()


def test_effects_add_up_to_what_the_change_does(tiny_model: Whisper) -> None:
    """Integrated gradients are complete (arXiv 1703.01365, Proposition 1)."""
    sae, spoken = random_sae(), windows(3, True, latent=9, seed=0)
    change = torch.zeros(sae.config.n_latents)
    change[[3, 8]] = torch.tensor([0.3, -0.2])
    h = torch.stack([spoken.frames(i) for i in range(3)])
    moved = h.clone()
    moved[:, :500] += (sae.normalise(h)[1] * (change @ sae.W_dec))[:, :500].detach()
    rows = np.arange(3)
    for score in (spoken_score(tiny_model, ["one", "two words", "and three more"]), silent_score(tiny_model)):
        with torch.no_grad():
            before, after = (
                score(run_from(tiny_model.encoder, "blocks.0", x), rows).mean() for x in (h, moved)
            )
        found = effects(tiny_model, "blocks.0", sae, change, spoken, score, steps=20, batch=2)
        assert set(found.nonzero()[:, 0].tolist()) <= {3, 8}
        torch.testing.assert_close(found.sum(), after - before, atol=2e-2, rtol=5e-2)
