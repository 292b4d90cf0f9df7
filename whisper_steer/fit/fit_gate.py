"""The gate's weights, from labelled windows.

Three kinds are fitted: a logistic regression on SAE latents, one on the activations themselves, both on single frames,
and a small network on the activations. The network learns from stretches (`whisper_steer.fit.stretches`); trained on
frames like the other two it let more non-speech through for the same speech. Each of them is fitted without and with
context: a logistic regression, by windows, on the activations around the place where the evidence is strongest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from whisper_steer.errors import FitError
from whisper_steer.fit.activations import Activations
from whisper_steer.fit.labels import NONSPEECH, SPEECH
from whisper_steer.fit.stretches import cut
from whisper_steer.gate import CONTEXT_FRAMES, POOL_FRAMES, Gate, moving_mean, pool
from whisper_steer.sae import Latents, normalise

FRAMES = 160_000
PADDING_SHARE = 0.1
"""of the frames behind the audio that may be drawn"""
HIDDEN, EPOCHS, FEWEST_STEPS = 128, 12, 400
BATCH = 8
"""windows in a step of the network"""
CONTEXT_C = 0.1
"""inverse of the regularisation of the context, on standardised features"""
FRAME_LOSS = 0.05
"""weight of the loss on frames beside that on stretches"""


def fit_gates(activations: Activations, mean: Tensor, latents: Latents, seed: int = 0) -> dict[str, Gate]:
    """A `Gate` of each kind by its name: "sae" on ``latents``, "dense" and "mlp" on the normalised activations, each
    without and with context.

    ``mean`` (n_state,) is the SAE's. Raises `FitError` where a class of frames or of windows is missing.
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
        _network(activations, mean, dense.std(dim=0) + 1e-6, seed),
    ]
    gates = [*plain, *(with_context(gate, activations) for gate in plain)]
    return {gate.kind: gate for gate in gates}


def _logistic(features: Tensor, labels: np.ndarray, mean: Tensor, latents: Latents | None) -> Gate:
    weight, bias = _regression(features, labels, 0.5)
    return Gate(weight, bias, mean, latents)


def with_context(gate: Gate, activations: Activations) -> Gate:
    """The gate and the context it lacks: what the activations around its strongest 0.2 s say of the window."""
    around = []
    for i in range(len(activations.speech)):
        h = activations.frames(i)
        peak = int(moving_mean(gate.frame_evidence(h[None]))[0].argmax()) + POOL_FRAMES // 2
        first = max(0, peak - CONTEXT_FRAMES // 2)
        around.append(normalise(h[first : peak + CONTEXT_FRAMES // 2 + 1], gate.mean)[0].mean(dim=0))
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


def _network(activations: Activations, mean: Tensor, spread: Tensor, seed: int) -> Gate:
    """One hidden layer, right about the strongest 0.2 s of every stretch; a little about every frame.

    Noise on its input and dropout keep it from learning recordings by heart.
    """
    n = len(activations.speech)
    stretches = [cut(activations.labels[i], int(activations.content[i])) for i in range(n)]
    share = float(np.mean([stretch.speech for window in stretches for stretch in window]))
    frame_share = float((activations.labels == SPEECH).sum() / (activations.labels >= 0).sum())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first, last = nn.Linear(len(spread), HIDDEN), nn.Linear(HIDDEN, 1)
        optimiser = torch.optim.AdamW([*first.parameters(), *last.parameters()], weight_decay=0.3)
        batches = -(-n // BATCH)
        epochs = max(EPOCHS, -(-FEWEST_STEPS // batches))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=epochs * batches)
        for chosen in tqdm(_batches(n, epochs), total=epochs * batches, desc="gate", unit="step"):
            windows = chosen.tolist()
            x = normalise(torch.stack([activations.frames(i) for i in windows]), mean)[0] / spread
            h = F.dropout(F.relu(first(x + 0.5 * torch.randn_like(x))), 0.5)
            evidence = last(h)[..., 0]
            means = moving_mean(evidence)
            found = [(row, stretch) for row, i in enumerate(windows) for stretch in stretches[i]]
            strongest = torch.stack(
                [means[row, s.start : s.end - POOL_FRAMES + 1].amax() for row, s in found]
            )
            loss = _balanced(strongest, torch.tensor([s.speech for _, s in found]), share)
            labels = torch.from_numpy(activations.labels[windows])
            known = labels >= 0
            loss = loss + FRAME_LOSS * _balanced(evidence[known], labels[known] == SPEECH, frame_share)
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


def _batches(n: int, epochs: int) -> Iterator[Tensor]:
    """Indices of windows, `BATCH` at a time, in a new order every epoch."""
    for _ in range(epochs):
        yield from torch.randperm(n).split(BATCH)


def _balanced(evidence: Tensor, speech: Tensor, share: float) -> Tensor:
    """Binary cross entropy in which speech, a ``share`` of all, weighs as much as the rest."""
    weight = torch.where(speech, 0.5 / share, 0.5 / (1 - share)).float()
    return F.binary_cross_entropy_with_logits(evidence, speech.float(), weight)


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
