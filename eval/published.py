"""Published ways to steer by SAE latents, which the package does not ship: every frame is edited.

They were published with the SAE's reconstruction written back; `curves.baselines` and `systems.steering` do that too.
"""

from __future__ import annotations

from torch import Tensor

from whisper_steer.errors import UsageError
from whisper_steer.steer.methods import METHODS, Edits
from whisper_steer.steer.registry import Method, Registry

PUBLISHED: Registry[Edits] = Registry()


@PUBLISHED.register("additive", (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4), "arXiv 2602.05027")
def additive(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = z + a v with v = +-1 against the latent's coefficient (AudioSAE, arXiv 2602.05027)."""
    _, scale = edits.latents.encode(h)
    return edits.latents.delta((strength * edits.sign).expand(*h.shape[:-1], -1), scale)


@PUBLISHED.register("scaled-additive", (0.125, 0.25, 0.5, 1.0, 2.0, 4.0), "arXiv 2606.07473")
def scaled_additive(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = z + a s Z with Z the latent's typical activation and s its sign (arXiv 2606.07473)."""
    _, scale = edits.latents.encode(h)
    return edits.latents.delta((strength * edits.sign * edits.typical).expand(*h.shape[:-1], -1), scale)


@PUBLISHED.register("multiplicative", (1.25, 1.5, 2.0, 3.0, 10.0), "arXiv 2606.07473")
def multiplicative(h: Tensor, edits: Edits, strength: float) -> Tensor:
    """z' = z a^s: active latents grow or shrink by the factor a, inactive ones stay (arXiv 2606.07473)."""
    if strength <= 0:
        raise UsageError(f"the multiplicative method needs a strength above 0, not {strength}")
    z, scale = edits.latents.encode(h)
    return edits.latents.delta(z * (strength**edits.sign - 1.0), scale)


EDITS: dict[str, Method[Edits]] = {**METHODS, **PUBLISHED}
"""all that act with an artifact's edits"""
