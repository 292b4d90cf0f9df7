"""The gate's weights, from labelled windows.

A logistic regression of steps on the activations themselves ("dense") and, where an SAE was trained at the same hook
point, on its latents ("sae"); and the convolutional gate ("conv").
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from whisper_steer.data.labels import NONSPEECH, SPEECH
from whisper_steer.encoders.record import Activations
from whisper_steer.errors import FitError
from whisper_steer.fit import conv_gate
from whisper_steer.gate.kinds import Gate, Linear, steps_of
from whisper_steer.sae.model import Latents, normalise

INVERSE_PENALTY, STRANGE_INVERSE_PENALTY = 0.5, 1e-4
"""scikit-learn's ``C`` of the regressions; the latter where what is learned from is unlike what will be heard, as
synthesised speech is unlike people: docs/pack.md has what it is worth"""
STEPS = 80_000
PADDING_SHARE = 0.1
"""of the steps behind the audio that may be drawn"""


def fit_gates(
    activations: Activations,
    latents: Latents | None = None,
    seed: int = 0,
    conv_steps: int | None = conv_gate.Training.fewest_steps,
    inverse_penalty: float = INVERSE_PENALTY,
) -> dict[str, Gate]:
    """A gate of each kind by its name; "sae" only with ``latents``, "conv" only with ``conv_steps``, the fewest of its
    training. Raises `FitError` where a class of steps is missing.
    """
    hidden, labels = sample(activations, seed)
    if len(set(labels.tolist())) < 2:
        raise FitError("the gate needs speech and non-speech; no speech was found in the speech clips")
    mean = hidden.mean(dim=0)
    dense = normalise(hidden, mean)[0]
    gates: dict[str, Gate] = {"dense": Linear(mean, *regression(dense, labels, inverse_penalty))}
    if latents is not None:
        gates["sae"] = Linear(mean, *regression(latents.encode(hidden)[0], labels, inverse_penalty), latents)
    if conv_steps is not None:
        training = conv_gate.Training(fewest_steps=conv_steps, seed=seed)
        gates["conv"] = conv_gate.fit(activations, mean, dense.std(dim=0) + 1e-6, training)
    return gates


def regression(
    features: Tensor, labels: np.ndarray, inverse_penalty: float = INVERSE_PENALTY
) -> tuple[Tensor, Tensor]:
    """Weights (n_features,) and bias of a logistic regression in which both classes weigh the same."""
    mean, spread = features.mean(dim=0).numpy(), features.std(dim=0).numpy() + 1e-6
    model = LogisticRegression(C=inverse_penalty, max_iter=1000, class_weight="balanced")
    model.fit((features.numpy() - mean) / spread, labels)
    weight = (model.coef_[0] / spread).astype(np.float32)
    return torch.from_numpy(weight), torch.tensor(float(model.intercept_[0] - weight @ mean))


def sample(activations: Activations, seed: int) -> tuple[Tensor, np.ndarray]:
    """Activations and labels of steps, as many of speech as of non-speech, equally many from each window."""
    rng = np.random.default_rng(seed)
    labels = conv_gate.step_labels(activations.labels)
    hidden, targets = [], []
    for label in (SPEECH, NONSPEECH):
        holders = np.flatnonzero((labels == label).any(axis=1))
        for i in holders:
            wanted = labels[i] == label
            padding = np.arange(wanted.size) >= activations.content[i] // 2
            position = np.flatnonzero(wanted & ~(padding & (rng.random(padding.size) > PADDING_SHARE)))
            chosen = np.sort(rng.permutation(position)[: max(1, STEPS // 2 // len(holders))])
            hidden.append(steps_of(activations.frames(int(i))[None])[0, chosen])
            targets.append(np.full(len(chosen), label))
    if not hidden:
        raise FitError("the gate has no labelled frames to learn from")
    return torch.cat(hidden), np.concatenate(targets)
