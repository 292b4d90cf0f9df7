"""If these fail, latents are called what they are not, or a good name is withheld."""

from __future__ import annotations

import pytest
import torch
from helpers import random_sae

from whisper_steer.errors import FitError
from whisper_steer.explain.naming import Labelled, choose_names

DOG, CAT, SPEECH, SILENCE = ("dog bark", "animal"), ("cat", "animal"), ("sentences", "speech"), ("silence",)
RAIN, SIREN = ("rain", "weather"), ("siren", "signal")
EVERY = (DOG, CAT, SPEECH, SILENCE, RAIN, SIREN)
SAE_ = random_sae(8, 1)  # eight latents


def clips(fires: dict[int, tuple[tuple[str, ...], ...]], groups: int = 6, seed: int = 0) -> list[Labelled]:
    """Six clips of each class, ten chunks each; a latent fires in half of those of its classes."""
    generator, found = torch.Generator().manual_seed(seed), []
    for names in EVERY:
        for i in range(6):
            activity = torch.zeros(10, 8)
            for latent, classes in fires.items():
                if names in classes:
                    activity[:5, latent] = 1 + torch.rand(5, generator=generator)
            found.append(Labelled(names, f"{names[0]}/{i % groups}", activity.half()))
    return found


def test_the_narrowest_precise_name_is_given() -> None:
    everywhere = {0: (DOG,), 1: (DOG, CAT), 2: (SPEECH,), 3: EVERY, 4: (SILENCE,), 5: (RAIN,)}
    names = choose_names(clips(everywhere), clips(everywhere, seed=1), SAE_, "sha256:x", "blocks.1")
    assert {each.latent: (each.name, each.kind) for each in names.named} == {
        0: ("dog bark", "sound"),
        1: ("animal", "sound"),
        2: ("speech", "speech"),
        4: ("silence", "silence"),
        5: ("rain", "sound"),
    }
    assert all(each.precision > 0.9 and each.clips >= 5 for each in names.named)
    assert names.classes == sorted(EVERY)
    assert names.vote.weight.shape == (6, 5)
    assert torch.equal(names.latents.weight, SAE_.latents(torch.tensor([0, 1, 2, 4, 5])).weight)


def test_a_name_that_does_not_hold_on_other_clips_is_not_given() -> None:
    """Latent 0 fires on dogs in one split and on rain in the other; latent 1 on dogs of one recording only."""
    fit, choose = clips({0: (DOG,), 1: (DOG,)}), clips({0: (RAIN,)}, seed=1)
    one = clips({1: (DOG,)}, groups=1, seed=2)
    choose = [b if a.names == DOG else a for a, b in zip(choose, one, strict=True)]
    fit += clips({2: (CAT,)}, seed=3)
    choose += clips({2: (CAT,)}, seed=4)
    names = choose_names(fit, choose, SAE_, "sha256:x", "blocks.1")
    assert {each.latent: each.name for each in names.named} == {2: "cat"}


def test_too_little_is_said() -> None:
    with pytest.raises(FitError, match="two classes"):
        choose_names([], [], SAE_, "x", "blocks.0")
    with pytest.raises(FitError, match="no latent"):
        choose_names(clips({3: EVERY}), clips({3: EVERY}, seed=1), SAE_, "x", "blocks.0")
