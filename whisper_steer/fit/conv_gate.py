"""The convolutional gate: half a second of activations at a time, and what lies around, learned together.

It learns from stretches (`whisper_steer.fit.stretches`): right about the strongest 0.2 s of every word, sentence or
stretch of non-speech, as the gate is used; a little about every frame.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from whisper_steer.encoders.record import Activations
from whisper_steer.fit.labels import SPEECH
from whisper_steer.fit.stretches import Stretch, cut
from whisper_steer.gate.kinds import POOL_FRAMES, Gate, convolved, moving_mean
from whisper_steer.sae.model import normalise

HIDDEN, CONV_STEPS = 64, 13
"""features; steps of 40 ms that the convolution sees"""
EPOCHS = 8
FEWEST_STEPS = 400
BATCH = 8
"""windows in a step"""
NOISE, DROPOUT = 0.5, 0.3
"""against learning recordings by heart: noise on the input, in its standard deviations, and dropout of features"""
FRAME_LOSS = 0.05
"""weight of the loss on frames beside that on stretches"""


class Network(nn.Module):
    """The gate while it learns; its input is scaled to a standard deviation of 1."""

    def __init__(self, n_state: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_state, HIDDEN)
        self.convolution = nn.Conv1d(HIDDEN, HIDDEN, CONV_STEPS)
        self.frame = nn.Linear(HIDDEN, 1)
        self.context = nn.Linear(HIDDEN, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, frames, n_state) -> logits (batch, frames)."""
        layers = (self.hidden.weight.T, self.hidden.bias, self.convolution.weight, self.convolution.bias)
        features = convolved(x, *layers, dropout=DROPOUT)
        return self.gate(torch.zeros(x.shape[-1]), torch.ones(x.shape[-1])).read(features)

    def gate(self, mean: Tensor, spread: Tensor) -> Gate:
        """What it has learned, for activations whose normalised frames have the standard deviation ``spread``."""
        return Gate(
            weight=self.frame.weight[0],
            bias=self.frame.bias[0],
            mean=mean,
            hidden_weight=(self.hidden.weight / spread).T.contiguous(),
            hidden_bias=self.hidden.bias,
            conv_weight=self.convolution.weight,
            conv_bias=self.convolution.bias,
            context=self.context.weight[0],
        )


def fit(
    activations: Activations, mean: Tensor, spread: Tensor, seed: int = 0, fewest_steps: int = FEWEST_STEPS
) -> Gate:
    """Train on all windows, `EPOCHS` times, or more often where they are few.

    ``mean`` (n_state,) centres the activations; ``spread`` (n_state,) is that of normalised frames.
    """
    n = len(activations.speech)
    stretches = [cut(activations.labels[i], int(activations.content[i])) for i in range(n)]
    share = float(np.mean([stretch.speech for window in stretches for stretch in window]))
    frame_share = float((activations.labels == SPEECH).sum() / (activations.labels >= 0).sum())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(len(spread))
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.3)
        batches = -(-n // BATCH)
        epochs = max(EPOCHS, -(-fewest_steps // batches))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=epochs * batches)
        for chosen in tqdm(_batches(n, epochs), total=epochs * batches, desc="gate", unit="step"):
            windows = chosen.tolist()
            x = normalise(torch.stack([activations.frames(i) for i in windows]), mean)[0] / spread
            evidence = network(x + NOISE * torch.randn_like(x))
            loss = _stretch_loss(evidence, [stretches[i] for i in windows], share)
            labels = torch.from_numpy(activations.labels[windows])
            known = labels >= 0
            loss = loss + FRAME_LOSS * _balanced(evidence[known], labels[known] == SPEECH, frame_share)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.requires_grad_(False).gate(mean, spread)


def _batches(n: int, epochs: int) -> Iterator[Tensor]:
    """Indices of windows, `BATCH` at a time, in a new order every epoch."""
    for _ in range(epochs):
        yield from torch.randperm(n).split(BATCH)


def _stretch_loss(evidence: Tensor, stretches: list[list[Stretch]], share: float) -> Tensor:
    """The loss on the strongest 0.2 s of every stretch of a batch of windows."""
    means = moving_mean(evidence)
    found = [(row, stretch) for row, window in enumerate(stretches) for stretch in window]
    strongest = torch.stack([means[row, s.start : s.end - POOL_FRAMES + 1].amax() for row, s in found])
    return _balanced(strongest, torch.tensor([s.speech for _, s in found]), share)


def _balanced(evidence: Tensor, speech: Tensor, share: float) -> Tensor:
    """Binary cross entropy in which speech, a ``share`` of all, weighs as much as the rest."""
    weight = torch.where(speech, 0.5 / share, 0.5 / (1 - share)).float()
    return F.binary_cross_entropy_with_logits(evidence, speech.float(), weight)
