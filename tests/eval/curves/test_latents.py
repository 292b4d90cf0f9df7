"""If these fail, what is said of single latents is not what moving them does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bench import corpus
from helpers import make_artifact, random_sae
from whisper.model import Whisper

from whisper_steer.data.load import load
from whisper_steer.encoders.prefix import run_from
from whisper_steer.errors import ArtifactError
from whisper_steer.eval.curves import latents
from whisper_steer.eval.curves.bench import pick
from whisper_steer.eval.curves.material import clip_activations
from whisper_steer.fit.silence import not_silent


def test_a_latent_moved_alone_does_what_the_encoder_says(
    tiny_model: Whisper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the decoder run on activations edited here, by hand."""
    monkeypatch.setattr(latents, "STEPS", 2)
    artifact = make_artifact(tiny_model.encoder, threshold=0.0)
    with pytest.raises(ArtifactError, match="fit it again"):
        latents.measure(tiny_model, artifact, [])
    artifact.sae = sae = random_sae()
    sizes = {5: 0.8, 17: -0.6, 40: 0.3}
    artifact.info["silence"] = [
        {"latent": i, "change": size, "effect_nonspeech": size, "effect_speech": -size}
        for i, size in sizes.items()
    ]
    clips = pick(load(f"manifest:{corpus(tmp_path)}"), "fit", 2)
    found = latents.measure(tiny_model, artifact, clips)
    heard = clip_activations(tiny_model, artifact.hook_point, clips)
    quiet = heard.of(~heard.speech)
    h = torch.stack([quiet.frames(i) for i in range(len(quiet.speech))])
    here = torch.from_numpy(quiet.heard)[..., None]
    _, scale = sae.normalise(h)

    def silence(*moved: int) -> float:
        change = sum((sizes[i] * sae.W_dec[i] for i in moved), torch.zeros(32))
        features = run_from(tiny_model.encoder, artifact.hook_point, h + here * scale * change)
        return float(-not_silent(tiny_model, features).mean())

    with torch.no_grad():
        alone = [silence(i) - silence() for i in sizes]
        without = [silence(*sizes) - silence(*(j for j in sizes if j != i)) for i in sizes]
        gained = silence(*sizes) - silence()
    torch.testing.assert_close(found.alone[:, 0], torch.tensor(alone), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(found.without[:, 0], torch.tensor(without), atol=1e-3, rtol=1e-3)
    assert found.whole[0] == pytest.approx(gained, abs=1e-3)
    first = found.greedy["freely"][0]
    assert first[0] == list(sizes)[int(torch.tensor(alone).argmax())]
