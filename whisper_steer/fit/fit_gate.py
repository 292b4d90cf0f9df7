"""The gate's weights: a logistic regression on frames, then on whole windows as the gate pools them.

Frames teach what speech looks like; windows teach what the gate is used for, where one word in 30 s must shut it and
one frame of noise must not. Both gates, on SAE latents and on the activations themselves, are fitted the same way.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from whisper_steer.errors import FitError
from whisper_steer.fit.activations import Activations
from whisper_steer.fit.windows import NONSPEECH, SPEECH, UNKNOWN
from whisper_steer.gate import Gate, moving_mean
from whisper_steer.sae import Latents, normalise

FRAMES_FOR_REGRESSION = 60_000
WINDOW_STEPS = 150
TEMPERATURE = 0.5
"""logits: softness of the maximum over a window while fitting"""


def fit_gate(activations: Activations, mean: Tensor, latents: Latents | None, seed: int = 0) -> Gate:
    """A `Gate` on the given latents, or on the normalised activations where ``latents`` is None.

    ``mean`` (n_state,) is the SAE's. Raises `FitError` where a class of frames is missing.
    """
    features, labels = _sample(activations, mean, latents, seed)
    if len(set(labels.tolist())) < 2:
        raise FitError(
            "the gate needs frames of speech and of non-speech; no speech was found in the speech clips"
        )
    spread = features.std(axis=0) + 1e-6
    regression = LogisticRegression(C=0.05, max_iter=300, class_weight="balanced")
    regression.fit(features / spread, labels)
    weight = torch.from_numpy((regression.coef_[0] / spread).astype(np.float32))
    gate = Gate(weight, torch.tensor(float(regression.intercept_[0])), mean, latents)
    return _fit_windows(gate, activations, torch.from_numpy(spread.astype(np.float32)), seed)


def window_scores(gate: Gate, activations: Activations) -> Tensor:
    """Pooled evidence (n,) of recorded windows."""
    frames = torch.stack([gate.frame_evidence(activations.frames(i)) for i in range(len(activations.speech))])
    return moving_mean(frames).amax(dim=-1)


def _fit_windows(gate: Gate, activations: Activations, spread: Tensor, seed: int) -> Gate:
    """Move the weights so that every speech window holds a loud 0.2 s, and no stretch of non-speech does."""
    features, speech, quiet = _pooled(gate, activations)
    step = (gate.weight * spread).clone().requires_grad_()
    bias = gate.bias.clone().requires_grad_()
    start = step.detach().clone()
    optimizer = torch.optim.Adam([step, bias], lr=0.02)
    for _ in range(WINDOW_STEPS):
        logits = features @ (step / spread) + bias
        found = _soft_max(logits.masked_fill(quiet, -1e4))[speech]
        leaked = _soft_max(logits.masked_fill(~quiet, -1e4))
        loss = (
            torch.nn.functional.softplus(3.0 - found).mean()
            + torch.nn.functional.softplus(leaked + 3.0).mean()
        )
        loss = loss + 0.02 * (step - start).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Gate((step / spread).detach(), bias.detach(), gate.mean, gate.latents)


def _soft_max(logits: Tensor) -> Tensor:
    return TEMPERATURE * torch.logsumexp(logits / TEMPERATURE, dim=-1)


def _pooled(gate: Gate, activations: Activations, stride: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """0.2 s means of the features, every 0.1 s: (n, m, n_features); speech windows (n,); stretches without
    speech (n, m). Stretches that touch unknown frames count for neither side."""
    features, quiet = [], []
    for i, labels in enumerate(activations.labels):
        x = _features(activations.frames(i), gate.mean, gate.latents)
        features.append(torch.nn.functional.avg_pool1d(x.T[None], 10, stride)[0].T)
        silent = torch.from_numpy((labels != SPEECH) & (labels != UNKNOWN)).float()
        quiet.append(-torch.nn.functional.max_pool1d(-silent[None, None], 10, stride)[0, 0] > 0)
    return (
        torch.stack(features),
        torch.from_numpy(activations.speech & (activations.labels == SPEECH).any(axis=1)),
        torch.stack(quiet),
    )


def _sample(
    activations: Activations, mean: Tensor, latents: Latents | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of frames, as many of speech as of non-speech, equally many from each window."""
    rng = np.random.default_rng(seed)
    wanted = FRAMES_FOR_REGRESSION // 2
    features, targets = [], []
    for label in (SPEECH, NONSPEECH):
        holders = np.flatnonzero((activations.labels == label).any(axis=1))
        for i in holders:
            position = np.flatnonzero(activations.labels[i] == label)
            chosen = rng.permutation(position)[: max(1, wanted // len(holders))]
            features.append(_features(activations.frames(int(i))[np.sort(chosen)], mean, latents).numpy())
            targets.append(np.full(len(chosen), label))
    if not features:
        raise FitError("the gate has no labelled frames to learn from")
    return np.concatenate(features), np.concatenate(targets)


def _features(h: Tensor, mean: Tensor, latents: Latents | None) -> Tensor:
    return normalise(h, mean)[0] if latents is None else latents.encode(h)[0]
