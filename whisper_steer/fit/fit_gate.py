"""The gate's weights, from frames of speech and of non-speech.

Three kinds are fitted on the same frames: a logistic regression on SAE latents, one on the activations themselves, and
a small network on those. Going on to fit whole windows through the pooled maximum was tried and is left out: on
held-out windows of tiny.en it let 2 to 6.5 % of non-speech through where the regression on frames lets 1 % through.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F

from whisper_steer.errors import FitError
from whisper_steer.fit.activations import Activations
from whisper_steer.fit.windows import NONSPEECH, SPEECH
from whisper_steer.gate import Gate, pool
from whisper_steer.sae import Latents, normalise

FRAMES = 160_000
PADDING_SHARE = 0.1
"""of the frames behind the audio that may be drawn"""
HIDDEN, EPOCHS, BATCH = 64, 8, 1024


def fit_gates(activations: Activations, mean: Tensor, latents: Latents, seed: int = 0) -> dict[str, Gate]:
    """A `Gate` of each kind by its name: "sae" on ``latents``, "dense" and "mlp" on the normalised activations.

    ``mean`` (n_state,) is the SAE's. Raises `FitError` where a class of frames is missing.
    """
    hidden, labels = _sample(activations, seed)
    if len(set(labels.tolist())) < 2:
        raise FitError(
            "the gate needs frames of speech and of non-speech; no speech was found in the speech clips"
        )
    dense = normalise(hidden, mean)[0]
    return {
        "sae": _logistic(latents.encode(hidden)[0], labels, mean, latents),
        "dense": _logistic(dense, labels, mean, None),
        "mlp": _network(dense, labels, mean, seed),
    }


def _logistic(features: Tensor, labels: np.ndarray, mean: Tensor, latents: Latents | None) -> Gate:
    spread = features.std(dim=0).numpy() + 1e-6
    regression = LogisticRegression(C=0.5, max_iter=200, class_weight="balanced")
    regression.fit(features.numpy() / spread, labels)
    weight = torch.from_numpy((regression.coef_[0] / spread).astype(np.float32))
    return Gate(weight, torch.tensor(float(regression.intercept_[0])), mean, latents)


def _network(features: Tensor, labels: np.ndarray, mean: Tensor, seed: int) -> Gate:
    """One hidden layer, trained by AdamW with noise on its input and dropout, against frames seen by heart."""
    spread = features.std(dim=0) + 1e-6
    inputs, targets = features / spread, torch.from_numpy(labels.astype(np.float32))
    balance = torch.tensor([0.5 / float((targets == y).float().mean()) for y in (0, 1)])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first, last = nn.Linear(inputs.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
        optimiser = torch.optim.AdamW([*first.parameters(), *last.parameters()], lr=2e-3, weight_decay=0.05)
        steps = EPOCHS * -(-len(inputs) // BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(EPOCHS):
            for chosen in torch.randperm(len(inputs)).split(BATCH):
                x, y = inputs[chosen], targets[chosen]
                h = F.dropout(F.relu(first(x + 0.3 * torch.randn_like(x))), 0.3)
                loss = F.binary_cross_entropy_with_logits(last(h)[:, 0], y, balance[y.long()])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return Gate(
        weight=last.weight.detach()[0],
        bias=last.bias.detach()[0],
        mean=mean,
        hidden_weight=(first.weight.detach() / spread).T.contiguous(),
        hidden_bias=first.bias.detach(),
    )


def window_scores(gate: Gate, activations: Activations) -> Tensor:
    """Pooled evidence (n,) of recorded windows."""
    frames = torch.stack([gate.frame_evidence(activations.frames(i)) for i in range(len(activations.speech))])
    return pool(frames)


def _sample(activations: Activations, seed: int) -> tuple[Tensor, np.ndarray]:
    """Activations and labels of frames, as many of speech as of non-speech, equally many from each window."""
    rng = np.random.default_rng(seed)
    hidden, targets = [], []
    for label in (SPEECH, NONSPEECH):
        holders = np.flatnonzero((activations.labels == label).any(axis=1))
        for i in holders:
            wanted = activations.labels[i] == label
            padding = np.arange(wanted.size) >= activations.content[i]
            position = np.flatnonzero(wanted & ~(padding & (rng.random(padding.size) > PADDING_SHARE)))
            chosen = rng.permutation(position)[: max(1, FRAMES // 2 // len(holders))]
            hidden.append(activations.frames(int(i))[np.sort(chosen)])
            targets.append(np.full(len(chosen), label))
    if not hidden:
        raise FitError("the gate has no labelled frames to learn from")
    return torch.cat(hidden), np.concatenate(targets)
