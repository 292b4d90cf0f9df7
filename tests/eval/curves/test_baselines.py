"""If these fail, a control is no control: of another norm, another direction, or trained otherwise than the SAE."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bench import corpus
from helpers import random_sae
from whisper.model import Whisper

from whisper_steer.data.load import load
from whisper_steer.errors import ArtifactError
from whisper_steer.eval.curves.baselines import BASELINES, interventions, together
from whisper_steer.eval.curves.bench import pick
from whisper_steer.eval.curves.material import Material, clip_activations, fit_edits, hear, material_of
from whisper_steer.sae.controls import COSINE
from whisper_steer.sae.plan import Plan
from whisper_steer.sae.train import train_on
from whisper_steer.steer.methods import METHODS
from whisper_steer.steer.silence import Silence


@pytest.fixture(scope="module")
def material(tiny_model: Whisper, tmp_path_factory: pytest.TempPathFactory) -> Material:
    clips = pick(load(f"manifest:{corpus(tmp_path_factory.mktemp('corpus'))}"), "fit", 3)
    heard = hear(tiny_model, "blocks.0", clips, clips)
    assert heard.fit.speech.sum() == 3 and (heard.fit.content == 50).all()
    assert len(heard.degraded.speech) == len(heard.clean.speech) == 3 and len(heard.hard.speech) >= 3
    sae = random_sae()
    return material_of(sae, heard.fit, "blocks.0", fit_edits(tiny_model, sae, heard, "blocks.0"))


@pytest.fixture
def h() -> torch.Tensor:
    return torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(5))


def test_write_back_is_the_edited_latents_decoded(material: Material, h: torch.Tensor) -> None:
    """As AudioSAE writes it: the whole SAE, the chosen latents changed, decoded."""
    sae, strength = material.sae, 0.3
    _, scale = sae.normalise(h)
    z = sae.encode(h)
    weights, directions = sae.W_dec, material.edits.latents.directions
    chosen = (directions @ weights.T).argmax(dim=1)
    assert torch.equal(weights[chosen], directions)
    z[..., chosen] += strength * material.edits.sign
    expected = sae.decode(z) * scale + sae.mean
    found = h + BASELINES["additive-write-back"](h, material, strength)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_ablation_leaves_nothing_of_the_latents_against_silence(material: Material, h: torch.Tensor) -> None:
    change = BASELINES["ablation"](h, material, 1.0)
    z, scale = material.edits.latents.encode(h)
    against = material.edits.sign < 0
    expected = -(z * against * scale) @ material.edits.latents.directions
    torch.testing.assert_close(change, expected)


@pytest.mark.parametrize("name", [n for n in BASELINES if n.startswith(("pca", "random-direction"))])
def test_dense_directions_are_as_long_as_the_mean_difference(
    material: Material, h: torch.Tensor, name: str
) -> None:
    change = BASELINES[name](h, material, 2.0)
    length = 2.0 * material.edits.mean_difference.norm()
    torch.testing.assert_close(change.norm(dim=-1), length.expand(2, 7))
    assert torch.equal(change[0, 0], change[1, 6])


def test_components_are_orthogonal_and_point_to_non_speech(material: Material) -> None:
    products = material.components @ material.components.T
    torch.testing.assert_close(products, torch.eye(len(products)), atol=1e-4, rtol=0)
    assert (material.components @ material.edits.mean_difference >= 0).all()


def test_the_random_clamp_is_as_long_as_the_clamp(material: Material, h: torch.Tensor) -> None:
    found, clamp = BASELINES["random-clamp"](h, material, 0.5), METHODS["clamp"](h, material.edits, 0.5)
    torch.testing.assert_close(found.norm(dim=-1), clamp.norm(dim=-1))


def test_a_file_gives_back_what_was_fitted(material: Material, h: torch.Tensor, tmp_path: Path) -> None:
    material.save(tmp_path / "made" / "file")
    loaded = Material.load(tmp_path / "made" / "file")
    assert (loaded.point, loaded.control) == ("blocks.0", "")
    for name, baseline in BASELINES.items():
        assert torch.equal(baseline(h, material, 1.5), baseline(h, loaded, 1.5)), name
    with pytest.raises(ArtifactError, match="with fit"):
        Material.load(tmp_path / "none")


def test_every_method_is_measured_at_every_strength(material: Material, h: torch.Tensor) -> None:
    found = {each.name: each for each in interventions(material)}
    for registry in (METHODS, BASELINES):
        for name, method in registry.items():
            assert list(method.grid) == sorted(method.grid) and method.source
            assert {f"blocks.0/{name}@{s:g}" for s in method.grid} <= found.keys()
    one = found["blocks.0/clamp@0.5"]
    ((point, edit),) = one.edits
    assert (point, one.strength, one.group) == ("blocks.0", 0.5, "blocks.0/clamp")
    assert torch.equal(edit(h), h + METHODS["clamp"](h, material.edits, 0.5))
    control = replace(material, control="soft-frozen")
    names = {each.name for each in interventions(control)}
    assert "blocks.0/soft-frozen/clamp@0.5" in names and not names & found.keys()
    assert "blocks.0/soft-frozen/silence@1" in names
    assert not any("mean-difference" in name or "random" in name for name in names)


def test_several_points_are_edited_each_by_its_own_latents(material: Material, h: torch.Tensor) -> None:
    other = replace(material, point="blocks.1", edits=replace(material.edits, silence=always_on(material)))
    found = {
        each.name: each for each in together([material, other, replace(material, control="soft-frozen")])
    }
    both = found["blocks.0+blocks.1/silence@0.5"]
    assert [point for point, _ in both.edits] == ["blocks.0", "blocks.1"]
    for (_, edit), edits in zip(both.edits, (material.edits, other.edits), strict=True):
        assert torch.equal(edit(h), h + METHODS["silence"](h, edits, 0.5))
    assert not torch.equal(both.edits[1][1](h), h)
    assert together([material]) == []


def always_on(material: Material) -> Silence:
    silence = material.edits.silence
    return replace(silence, condition=replace(silence.condition, threshold=torch.tensor(-1e9)))


def test_a_control_starts_as_the_sae_and_stays_near(tiny_model: Whisper, tmp_path: Path) -> None:
    """The same start, frames and steps; else a difference between the two says nothing."""
    clips = pick(load(f"manifest:{corpus(tmp_path)}"), "fit", 3)
    activations = clip_activations(tiny_model, "blocks.0", clips)
    plan = Plan(k=4, expansion=2, steps=60, batch=64, learning_rate=0.05)
    start = train_on(activations, replace(plan, steps=0)).W_dec
    free, held = (train_on(activations, plan, control=control) for control in (None, "soft-frozen"))
    cosines = [(sae.W_dec * start).sum(dim=1).min() for sae in (free, held)]
    assert cosines[0] < COSINE - 0.05
    assert cosines[1] >= COSINE - 1e-4
