"""The gate's weights: a logistic regression on frames of speech and of non-speech.

Both gates, on SAE latents and on the activations themselves, are fitted the same way. Going on to fit whole windows
through the pooled maximum was tried and is left out: on held-out windows of tiny.en it let 2 to 6.5 % of non-speech
through where the regression on frames lets 1 % through.
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from whisper_steer.errors import FitError
from whisper_steer.fit.activations import Activations
from whisper_steer.fit.windows import NONSPEECH, SPEECH
from whisper_steer.gate import Gate, pool
from whisper_steer.sae import Latents, normalise

FRAMES_FOR_REGRESSION = 120_000
PADDING_SHARE = 0.1
"""of the frames behind the audio that may be drawn"""


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
    regression = LogisticRegression(C=0.5, max_iter=200, class_weight="balanced")
    regression.fit(features / spread, labels)
    weight = torch.from_numpy((regression.coef_[0] / spread).astype(np.float32))
    return Gate(weight, torch.tensor(float(regression.intercept_[0])), mean, latents)


def window_scores(gate: Gate, activations: Activations) -> Tensor:
    """Pooled evidence (n,) of recorded windows."""
    frames = torch.stack([gate.frame_evidence(activations.frames(i)) for i in range(len(activations.speech))])
    return pool(frames)


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
            wanted_frames = activations.labels[i] == label
            padding = np.arange(wanted_frames.size) >= activations.content[i]
            position = np.flatnonzero(wanted_frames & ~(padding & (rng.random(padding.size) > PADDING_SHARE)))
            chosen = rng.permutation(position)[: max(1, wanted // len(holders))]
            features.append(_features(activations.frames(int(i))[np.sort(chosen)], mean, latents).numpy())
            targets.append(np.full(len(chosen), label))
    if not features:
        raise FitError("the gate has no labelled frames to learn from")
    return np.concatenate(features), np.concatenate(targets)


def _features(h: Tensor, mean: Tensor, latents: Latents | None) -> Tensor:
    return normalise(h, mean)[0] if latents is None else latents.encode(h)[0]
