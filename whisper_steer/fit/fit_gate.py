"""The gate's weights, from labelled windows.

A logistic regression on SAE latents and one on the activations themselves learn from single frames, and are fitted
without and with context: another logistic regression, by windows, on what lies around the place where the evidence is
strongest. Beside them stand the convolutional gate (`whisper_steer.fit.conv_gate`) and the mean of the two best kinds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from whisper_steer.encoders.record import Activations
from whisper_steer.errors import FitError
from whisper_steer.fit import conv_gate
from whisper_steer.fit.labels import NONSPEECH, SPEECH
from whisper_steer.gate.kinds import CONTEXT_FRAMES, POOL_FRAMES, Gate, moving_mean, pool
from whisper_steer.sae.model import Latents, normalise

FRAMES = 160_000
PADDING_SHARE = 0.1
"""of the frames behind the audio that may be drawn"""
CONTEXT_C = 0.1
"""inverse of the regularisation of the context, on standardised features"""


def fit_gates(
    activations: Activations,
    mean: Tensor,
    latents: Latents,
    seed: int = 0,
    conv_steps: int = conv_gate.FEWEST_STEPS,
) -> dict[str, Gate]:
    """A `Gate` of each kind by its name: "sae" on ``latents`` and "dense" on the normalised activations, each without
    and with context; "conv + context"; and the mean of that and "dense + context".

    ``mean`` (n_state,) is the SAE's; ``conv_steps`` are the fewest of the last one's training.
    Raises `FitError` where a class of frames or of windows is missing.
    """
    hidden, labels = _sample(activations, seed)
    if len(set(labels.tolist())) < 2:
        raise FitError(
            "the gate needs frames of speech and of non-speech; no speech was found in the speech clips"
        )
    if activations.speech.all() or not activations.speech.any():
        raise FitError("the gate needs windows of speech and of non-speech; ask for some of both")
    dense = normalise(hidden, mean)[0]
    plain = [
        _logistic(latents.encode(hidden)[0], labels, mean, latents),
        _logistic(dense, labels, mean, None),
    ]
    gates = [
        *plain,
        *(with_context(gate, activations) for gate in plain),
        conv_gate.fit(activations, mean, dense.std(dim=0) + 1e-6, seed, conv_steps),
    ]
    return {gate.kind: gate for gate in [*gates, mean_of(gates[-1], gates[-2])]}


def mean_of(conv: Gate, dense: Gate) -> Gate:
    """One gate whose evidence is the mean of theirs: what one of them alone takes for speech, the other may not."""
    assert conv.context is not None and dense.context is not None
    return replace(
        conv,
        weight=torch.cat([conv.weight, dense.weight]) / 2,
        bias=(conv.bias + dense.bias) / 2,
        context=torch.cat([conv.context, dense.context]) / 2,
    )


def _logistic(features: Tensor, labels: np.ndarray, mean: Tensor, latents: Latents | None) -> Gate:
    weight, bias = _regression(features, labels, 0.5)
    return Gate(weight, bias, mean, latents)


def with_context(gate: Gate, activations: Activations) -> Gate:
    """The gate and the context it lacks: what the features around its strongest 0.2 s say of the window."""
    around = []
    for i in range(len(activations.speech)):
        features = gate.features(activations.frames(i)[None])
        peak = int(moving_mean(gate.read(features))[0].argmax()) + POOL_FRAMES // 2
        first = max(0, peak - CONTEXT_FRAMES // 2)
        around.append(features[0, first : peak + CONTEXT_FRAMES // 2 + 1].mean(dim=0))
    weight, bias = _regression(torch.stack(around), activations.speech, CONTEXT_C)
    return replace(gate, context=weight, bias=gate.bias + bias)


def _regression(features: Tensor, labels: np.ndarray, c: float) -> tuple[Tensor, Tensor]:
    """Weights (n_features,) and bias of a logistic regression in which both classes weigh the same."""
    mean, spread = features.mean(dim=0).numpy(), features.std(dim=0).numpy() + 1e-6
    regression = LogisticRegression(C=c, max_iter=1000, class_weight="balanced")
    regression.fit((features.numpy() - mean) / spread, labels)
    weight = (regression.coef_[0] / spread).astype(np.float32)
    bias = float(regression.intercept_[0] - weight @ mean)
    return torch.from_numpy(weight), torch.tensor(bias)


def window_scores(gate: Gate, activations: Activations) -> Tensor:
    """Pooled evidence (n,) of recorded windows."""
    frames = torch.cat(
        [gate.frame_evidence(activations.frames(i)[None]) for i in range(len(activations.speech))]
    )
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
