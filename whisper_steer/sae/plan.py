"""How SAEs are trained: their kind, the settings, and the schedules over the steps.

The defaults are those of AudioSAE (arXiv 2602.05027): Batch-Top-K, k 50, expansion 8, unit-norm inputs, Adam at 2e-4,
2,500 frames a step, a sparsity warm-up of 10,000 of 200,000 steps, the learning rate down to 0 over the last fifth.
Schedules are shares of the steps, so that a shorter training passes through the same phases.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["batch-topk", "topk", "relu", "jumprelu"]
KINDS: tuple[str, ...] = get_args(Kind)
TOP_K = ("batch-topk", "topk")
CONTROLS = ("soft-frozen", "frozen-decoder", "frozen-encoder")
"""of `whisper_steer.sae.controls`"""

WARM_UP = 0.05
"""share of the steps over which sparsity comes: k falls to its value, or the penalty rises to its own"""
RATE_WARM_UP = 0.005
"""share over which the learning rate rises (1,000 of 200,000 steps, dictionary_learning's default)"""
COOL_DOWN = 0.2
"""share at the end over which the learning rate falls to 0"""


@dataclass(frozen=True)
class Plan:
    """How to train one SAE or many at once."""

    kind: Kind = "batch-topk"
    k: int = 50
    """latents per frame: exactly, on average, or aimed at"""
    expansion: int = 8
    """latents per dimension of the activations"""
    steps: int = 200_000
    batch: int = 2500
    """frames a step"""
    learning_rate: float = 2e-4
    threshold_from: float = 1.0
    """share of a batch from which Batch-Top-K's threshold is taken: on a GPU finding it takes as long as all else"""
    half: bool = False
    """matrices in bfloat16"""
    seed: int = 0

    @property
    def dead_after(self) -> int:
        """Steps without an activation after which a latent counts as dead: 10 million frames of 200,000 steps
        (arXiv 2406.04093), fewer in proportion, at least 100 steps."""
        return max(100, self.steps // 50)

    def rate_at(self, step: int) -> float:
        """The learning rate of a step."""
        up = (step + 1) / (RATE_WARM_UP * self.steps)
        down = (self.steps - step) / (COOL_DOWN * self.steps)
        return self.learning_rate * min(1.0, up, down)

    def sparsity_at(self, step: int) -> float:
        """From 0 to 1 over the warm-up."""
        return min(1.0, (step + 1) / (WARM_UP * self.steps))

    def k_at(self, step: int, n_state: int) -> int:
        """Latents kept per frame: from the width of the activations down to k over the warm-up."""
        return round(self.k + max(0, n_state - self.k) * (1 - self.sparsity_at(step)))
