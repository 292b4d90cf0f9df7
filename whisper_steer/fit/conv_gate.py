"""The convolutional gate: what half a second of activations and the two seconds around it say, learned together.

It learns from stretches (`whisper_steer.fit.stretches`): right about the strongest 0.2 s of every word, sentence or
stretch of non-speech, as one such place makes a span; a little about every step.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from whisper_steer.data.labels import NONSPEECH, SPEECH
from whisper_steer.encoders.record import Activations
from whisper_steer.fit.stretches import Stretch, cut
from whisper_steer.gate.kinds import DILATION, FRAMES_PER_STEP, POOL_STEPS, Conv, smooth, steps_of
from whisper_steer.sae.model import normalise

HIDDEN, NEAR_TAPS, FAR_TAPS = 64, 13, 9
EPOCHS = 8
FEWEST_STEPS = 400
BATCH = 8
"""windows in a step"""
NOISE, DROPOUT = 0.5, 0.3
"""against learning recordings by heart: noise on the input, in its standard deviations, and dropout of features"""
STEP_LOSS = 0.1
"""weight of the loss on steps beside that on stretches"""


class Network(nn.Module):
    """The gate while it learns; its input is scaled to a standard deviation of 1."""

    def __init__(self, n_state: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_state, HIDDEN)
        self.near = nn.Conv1d(HIDDEN, HIDDEN, NEAR_TAPS, padding=NEAR_TAPS // 2)
        self.far = nn.Conv1d(HIDDEN, HIDDEN, FAR_TAPS, padding=DILATION * (FAR_TAPS // 2), dilation=DILATION)
        self.out = nn.Linear(2 * HIDDEN, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, steps, n_state) -> logits (batch, steps), with dropout."""
        hidden = F.dropout(torch.relu(self.hidden(x)), DROPOUT).transpose(1, 2)
        near = F.dropout(torch.relu(self.near(hidden)), DROPOUT)
        far = F.dropout(torch.relu(self.far(near)), DROPOUT)
        logits: Tensor = self.out(torch.cat([near, far], dim=1).transpose(1, 2))[..., 0]
        return logits

    def gate(self, mean: Tensor, spread: Tensor) -> Conv:
        """What it has learned, for activations whose normalised steps have the standard deviation ``spread``."""
        return Conv(
            mean=mean,
            weight=self.out.weight[0],
            bias=self.out.bias[0],
            hidden_weight=(self.hidden.weight / spread).T.contiguous(),
            hidden_bias=self.hidden.bias,
            near_weight=self.near.weight,
            near_bias=_of(self.near.bias),
            far_weight=self.far.weight,
            far_bias=_of(self.far.bias),
        )


def fit(
    activations: Activations, mean: Tensor, spread: Tensor, seed: int = 0, fewest_steps: int = FEWEST_STEPS
) -> Conv:
    """Train on all windows, `EPOCHS` times, or more often where they are few.

    ``mean`` (n_state,) centres the activations; ``spread`` (n_state,) is that of normalised steps.
    """
    n = len(activations.speech)
    stretches = [_by_steps(cut(activations.labels[i], int(activations.content[i]))) for i in range(n)]
    labels = step_labels(activations.labels)
    share = float(np.mean([stretch.speech for window in stretches for stretch in window]))
    step_share = float((labels == SPEECH).sum() / (labels >= 0).sum())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(len(spread))
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.3)
        batches = -(-n // BATCH)
        epochs = max(EPOCHS, -(-fewest_steps // batches))
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=epochs * batches)
        for chosen in tqdm(_batches(n, epochs), total=epochs * batches, desc="gate", unit="step"):
            windows = chosen.tolist()
            h = steps_of(torch.stack([activations.frames(i) for i in windows]))
            x = normalise(h, mean)[0] / spread
            evidence = network(x + NOISE * torch.randn_like(x))
            loss = _stretch_loss(evidence, [stretches[i] for i in windows], share)
            target = torch.from_numpy(labels[windows])
            known = target >= 0
            loss = loss + STEP_LOSS * _balanced(evidence[known], target[known] == SPEECH, step_share)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.requires_grad_(False).gate(mean, spread)


def _of(bias: Tensor | None) -> Tensor:
    assert bias is not None
    return bias


def step_labels(labels: np.ndarray) -> np.ndarray:
    """Labels of frames (n, frames) -> of steps (n, frames / 2): speech where either is, else unknown where one is."""
    pairs = labels.reshape(len(labels), -1, FRAMES_PER_STEP)
    found = np.where((pairs < 0).any(axis=2), -1, NONSPEECH)
    return np.where((pairs == SPEECH).any(axis=2), SPEECH, found).astype(np.int8)


def _by_steps(stretches: list[Stretch]) -> list[Stretch]:
    """Stretches of frames -> of steps, each at least as long as one pooled place."""
    made = []
    for stretch in stretches:
        start, end = stretch.start // FRAMES_PER_STEP, -(-stretch.end // FRAMES_PER_STEP)
        made.append(Stretch(start, max(end, start + 1), stretch.speech))
    return made


def _batches(n: int, epochs: int) -> Iterator[Tensor]:
    """Indices of windows, `BATCH` at a time, in a new order every epoch."""
    for _ in range(epochs):
        yield from torch.randperm(n).split(BATCH)


def _stretch_loss(evidence: Tensor, stretches: list[list[Stretch]], share: float) -> Tensor:
    """The loss on the strongest 0.2 s of every stretch of a batch of windows."""
    means, inside = smooth(evidence), POOL_STEPS // 2
    found = [(row, stretch) for row, window in enumerate(stretches) for stretch in window]
    strongest = [
        means[row, min(s.start + inside, s.end - 1) : max(s.start + inside + 1, s.end - inside)].amax()
        for row, s in found
    ]
    return _balanced(torch.stack(strongest), torch.tensor([s.speech for _, s in found]), share)


def _balanced(evidence: Tensor, speech: Tensor, share: float) -> Tensor:
    """Binary cross entropy in which speech, a ``share`` of all, weighs as much as the rest."""
    weight = torch.where(speech, 0.5 / share, 0.5 / (1 - share)).float()
    return F.binary_cross_entropy_with_logits(evidence, speech.float(), weight)
