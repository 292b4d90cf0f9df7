"""What each latent of an artifact's `silence` edit does by itself, measured; and how few of them would do.

The artifact's card tells each latent's part by integrated gradients; here each is moved alone, and left out of the
whole, on windows of a split on which nothing was fitted. Then latents are taken greedily: at each step the one that
silences non-speech most, once freely and once among those with which what stock writes on speech loses no more than
`BUDGET`, were the change made on every frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from tqdm import tqdm
from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.errors import ArtifactError
from whisper_steer.fit.silence import moving, silent_score, spoken_score
from whisper_steer.fit.strengths import texts
from whisper_steer.steer.artifact import Artifact

from .material import clip_activations

BUDGET = 0.05
"""mean log probability of a token of what stock writes on speech"""
STEPS, CANDIDATES, LOOKED_AT = 8, 20, 5
"""latents that are taken greedily, of so many that silence most alone; and how many of a step are tried on speech"""
BATCH = 8


@dataclass
class Measured:
    """Of one artifact, with its latents in the order of its card; gains are per window, prices per token."""

    latents: list[int]
    attributed: Tensor
    """(n, 2) the parts of each by the card: silence gained on non-speech, log probability gained on speech"""
    alone: Tensor
    """(n, 2) the same, moved alone"""
    without: Tensor
    """(n, 2) what the whole change loses where it is left out"""
    whole: tuple[float, float]
    greedy: dict[str, list[tuple[int, float, float]]]
    """freely, and within the budget: (latent, silence gained so far, log probability gained on speech so far)"""

    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.attributed, self.alone, self.without

    def agreement(self) -> dict[str, float]:
        """Spearman's rank correlation of the attributed parts with the measured."""
        parts = {"alone": self.alone, "left out": self.without}
        return {
            f"{name}, {kind}": float(spearmanr(self.attributed[:, side], found[:, side]).statistic)
            for name, found in parts.items()
            for side, kind in enumerate(("non-speech", "speech"))
        }


@torch.no_grad()
def measure(model: Whisper, artifact: Artifact, clips: Sequence[Clip]) -> Measured:
    """On clips of both kinds. Raises `ArtifactError` where the artifact's card names no latents of silence."""
    rows = artifact.info.get("silence")
    if not rows:
        raise ArtifactError(
            f"the card of {artifact.name} tells nothing of the latents of silence: fit it again"
        )
    latents = [int(row["latent"]) for row in rows]
    sizes = torch.tensor([float(row["change"]) for row in rows])
    score = _scores(model, artifact, clips, latents)
    n = len(latents)
    whole, nothing = score(sizes), score(torch.zeros(n))
    alone, without = torch.zeros(n, 2), torch.zeros(n, 2)
    for i in tqdm(range(n), desc="latents", unit="latent"):
        one = torch.zeros(n)
        one[i] = sizes[i]
        alone[i] = score(one) - nothing
        without[i] = whole - score(sizes - one)
    candidates = alone[:, 0].argsort(descending=True)[:CANDIDATES].tolist()
    attributed = torch.tensor([[float(row["effect_nonspeech"]), float(row["effect_speech"])] for row in rows])
    greedy = {
        name: _greedy(score, sizes, latents, nothing, candidates, budget)
        for name, budget in (("freely", None), (f"budget {BUDGET:g}", BUDGET))
    }
    gained = whole - nothing
    return Measured(latents, attributed, alone, without, (float(gained[0]), float(gained[1])), greedy)


def _scores(
    model: Whisper, artifact: Artifact, clips: Sequence[Clip], latents: list[int]
) -> Callable[..., Tensor]:
    """Sizes (n,) of the moves of latents -> (2,) mean silence on non-speech, mean log probability on speech."""
    sae, point = artifact.load_sae(), artifact.hook_point
    heard = clip_activations(model, point, clips)
    kinds = [heard.of(rows) for rows in (~heard.speech, heard.speech)]
    hidden = torch.stack([kinds[1].frames(i) for i in range(len(kinds[1].speech))])
    said = [text for part in hidden.split(BATCH) for text in texts(model, point, part)]
    scorers = (silent_score(model), spoken_score(model, said))

    def score(sizes: Tensor, sides: tuple[int, ...] = (0, 1)) -> Tensor:
        change, found = torch.zeros(sae.config.n_latents), torch.zeros(2)
        change[latents] = sizes
        for side in sides:
            windows, total = kinds[side], []
            for rows in np.split(np.arange(len(windows.speech)), range(BATCH, len(windows.speech), BATCH)):
                total.append(scorers[side](moving(model, point, sae, windows, rows)(change), rows))
            found[side] = torch.cat(total).mean()
        return found

    return score


def _greedy(
    score: Callable[..., Tensor],
    sizes: Tensor,
    latents: list[int],
    nothing: Tensor,
    candidates: list[int],
    budget: float | None,
) -> list[tuple[int, float, float]]:
    """At most `STEPS` latents; fewer where none is within the budget."""
    taken, found = torch.zeros_like(sizes), []
    for _ in tqdm(range(min(STEPS, len(candidates))), desc="greedily", unit="latent"):
        left = [i for i in candidates if not taken[i]]
        gains = {i: float(score(_with(taken, sizes, i), (0,))[0] - nothing[0]) for i in left}
        best = sorted(left, key=lambda i: -gains[i])[: 1 if budget is None else LOOKED_AT]
        prices = {i: float(score(_with(taken, sizes, i), (1,))[1] - nothing[1]) for i in best}
        allowed = [i for i in best if budget is None or prices[i] >= -budget]
        if not allowed:
            break
        chosen = allowed[0]
        taken = _with(taken, sizes, chosen)
        found.append((latents[chosen], gains[chosen], prices[chosen]))
    return found


def _with(taken: Tensor, sizes: Tensor, i: int) -> Tensor:
    changed = taken.clone()
    changed[i] = sizes[i]
    return changed
