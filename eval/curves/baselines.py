"""Edits that the package does not ship: published forms, dense directions, controls. What a method has to beat.

``write-back`` is the published form of the SAE's methods: the reconstruction replaces the activations, and its error
is lost. Dense directions and controls have the norm of the mean difference, so that strengths are of one scale.
"""

from __future__ import annotations

import torch
from torch import Tensor

from whisper_steer.steer.methods import METHODS
from whisper_steer.steer.registry import Fitted, Method, Registry
from whisper_steer.steer.silence import always, where_nobody_speaks

from ..published import EDITS
from .bench import Intervention
from .material import COMPONENTS, Material

DENSE = METHODS["mean-difference"].grid
RANDOM_SEEDS = (0, 1, 2)
SILENCE = METHODS["silence"].grid
WITH_CONTROLS = ("silence-everywhere",)
"""what is measured with the SAE of a control as well"""

BASELINES: Registry[Material] = Registry()


@BASELINES.register("reconstruction", (1.0,), "arXiv 2602.05027, without steering")
def reconstruction(h: Tensor, material: Material, strength: float) -> Tensor:
    """The SAE's round trip in place of the activations, ``strength`` of the way."""
    return strength * (material.sae.reconstruct(h) - h)


def _write_back(name: str) -> None:
    method = EDITS[name]

    @BASELINES.register(f"{name}-write-back", method.grid, method.source)
    def written(h: Tensor, material: Material, strength: float) -> Tensor:
        return reconstruction(h, material, 1.0) + method(h, material.edits, strength)


for _name in ("clamp", "additive", "scaled-additive", "multiplicative"):
    _write_back(_name)


@BASELINES.register("ablation", (0.25, 0.5, 1.0, 2.0, 4.0), "latents that make the decoder write, set to 0")
def ablation(h: Tensor, material: Material, strength: float) -> Tensor:
    """z' = (1 - a) z for the latents against silence; those for it stay."""
    edits = material.edits
    z, scale = edits.latents.encode(h)
    return edits.latents.delta(-strength * z * (edits.sign < 0), scale)


@BASELINES.register("silence-everywhere", SILENCE, "the same without its condition")
def silence_everywhere(h: Tensor, material: Material, strength: float) -> Tensor:
    """What the latents of silence do to speech where nothing holds them back."""
    return always(h, material.edits.silence, strength)


@BASELINES.register("conditional-random", SILENCE, "control")
def conditional_random(h: Tensor, material: Material, strength: float) -> Tensor:
    """A random direction, as long as the change of ``silence``, where its condition holds."""
    return along_random(where_nobody_speaks(h, material.edits.silence, strength))


@BASELINES.register("conditional-mean-difference", DENSE, "arXiv 2312.06681, where the condition holds")
def conditional_mean_difference(h: Tensor, material: Material, strength: float) -> Tensor:
    """The mean difference on frames without speech alone."""
    held = material.edits.silence.condition.holds(h)[..., None]
    return held * METHODS["mean-difference"](h, material.edits, strength)


def _component(index: int) -> None:
    @BASELINES.register(f"pca-{index + 1}", DENSE, "arXiv 2310.01405")
    def component(h: Tensor, material: Material, strength: float) -> Tensor:
        return _dense(h, material, material.components[index], strength)


for _index in range(COMPONENTS):
    _component(_index)


def _random_direction(seed: int) -> None:
    @BASELINES.register(f"random-direction-{seed}", DENSE, "control")
    def direction(h: Tensor, material: Material, strength: float) -> Tensor:
        return _dense(h, material, random_unit(h, seed), strength)


for _seed in RANDOM_SEEDS:
    _random_direction(_seed)


@BASELINES.register("random-clamp", METHODS["clamp"].grid, "control")
def random_clamp(h: Tensor, material: Material, strength: float) -> Tensor:
    """One random direction, in each frame as long as the clamp's change."""
    return along_random(METHODS["clamp"](h, material.edits, strength))


def along_random(change: Tensor) -> Tensor:
    """A change (..., n_state) turned to one random direction, in each frame as long as it was."""
    return change.norm(dim=-1, keepdim=True) * random_unit(change, seed=0)


def random_unit(h: Tensor, seed: int) -> Tensor:
    """A random direction (n_state,) of norm 1 for activations (..., n_state), on their device."""
    drawn = torch.randn(h.shape[-1], generator=torch.Generator().manual_seed(seed)).to(h.device)
    return drawn / drawn.norm()


def _dense(h: Tensor, material: Material, direction: Tensor, strength: float) -> Tensor:
    """A direction (n_state,) of norm 1, as long as the mean difference times ``strength``."""
    return (strength * material.edits.mean_difference.norm() * direction).expand_as(h)


def interventions(material: Material) -> list[Intervention]:
    """Every method and baseline at every strength, at the material's hook point. With the SAE of a control, the
    methods that use it alone."""
    place = "/".join(filter(None, [material.point, material.control]))
    found = []
    for name, method in EDITS.items():
        if not material.control or name != "mean-difference":
            found += [_intervention(place, method, material.edits, material.point, s) for s in method.grid]
    for baseline in BASELINES.values():
        if not material.control or baseline.name in WITH_CONTROLS:
            found += [_intervention(place, baseline, material, material.point, s) for s in baseline.grid]
    return found


def together(materials: list[Material]) -> list[Intervention]:
    """``silence`` at every hook point of several materials at once, as arXiv 2606.07473 steers two blocks; each asks
    its condition of what the edits before it left. None where there is only one point."""
    chosen = {material.point: material for material in materials if not material.control}
    if len(chosen) < 2:
        return []
    found = []
    for strength in SILENCE:
        edits = [
            edit
            for material in chosen.values()
            for edit in _intervention("", METHODS["silence"], material.edits, material.point, strength).edits
        ]
        group = f"{'+'.join(chosen)}/silence"
        found.append(Intervention(f"{group}@{strength:g}", edits, strength, group))
    return found


def _intervention(
    place: str, method: Method[Fitted], fitted: Fitted, point: str, strength: float
) -> Intervention:
    def edit(h: Tensor) -> Tensor:
        return h + method(h, fitted, strength)

    group = f"{place}/{method.name}"
    return Intervention(f"{group}@{strength:g}", [(point, edit)], strength, group)
