"""The convolutional gate: what half a second of activations and the two seconds around it say, learned together.

It learns from stretches (`whisper_steer.fit.stretches`): right about the strongest 0.2 s of every word, sentence or
stretch of non-speech, as one such place makes a span; a little about every step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from whisper_steer.data.labels import NONSPEECH, SPEECH
from whisper_steer.encoders.record import Activations
from whisper_steer.fit.stretches import cut
from whisper_steer.gate.kinds import DILATION, FRAMES_PER_STEP, POOL_STEPS, Conv, smooth, steps_of
from whisper_steer.sae.model import normalise

NEAR_TAPS, FAR_TAPS = 13, 9
NOISE, DROPOUT = 0.5, 0.3
"""against learning recordings by heart: noise on the input, in its standard deviations, and dropout of features"""
STEP_LOSS = 0.1
"""weight of the loss on steps beside that on stretches"""
NO_STRETCH = -1


@dataclass(frozen=True)
class Training:
    """How to train. Defaults suit hundreds of windows on two CPU cores."""

    hidden: int = 64
    """features of each layer"""
    batch: int = 8
    """windows in a step"""
    learning_rate: float = 2e-3
    """the highest, of one cycle"""
    epochs: int = 8
    fewest_steps: int = 400
    """where the windows are few, there are more epochs"""
    seed: int = 0


@dataclass
class Stretches:
    """The stretches of n windows, those of a window in a row that is padded to the longest."""

    first: Tensor
    """(n, most) int64: the step at which the first 0.2 s that lie inside have their centre"""
    last: Tensor
    """(n, most) int64: the step behind the centre of the last such"""
    kind: Tensor
    """(n, most) int8: `SPEECH`, `NONSPEECH` or `NO_STRETCH`"""

    @classmethod
    def of(cls, labels: np.ndarray, content: np.ndarray) -> Stretches:
        """Those of windows with ``labels`` (n, frames) int8 and ``content`` (n,) frames of audio."""
        inside = POOL_STEPS // 2
        found = [cut(window, int(frames)) for window, frames in zip(labels, content, strict=True)]
        shape = (len(found), max(map(len, found)))
        table = np.zeros((*shape, 2), np.int64)
        kind = np.full(shape, NO_STRETCH, np.int8)
        for row, window in enumerate(found):
            for column, stretch in enumerate(window):
                start = stretch.start // FRAMES_PER_STEP
                end = max(-(-stretch.end // FRAMES_PER_STEP), start + 1)
                first = min(start + inside, end - 1)
                table[row, column] = first, max(start + inside + 1, end - inside)
                kind[row, column] = SPEECH if stretch.speech else NONSPEECH
        first_and_last = torch.from_numpy(table)
        return cls(first_and_last[..., 0], first_and_last[..., 1], torch.from_numpy(kind))

    def to(self, device: torch.device | str) -> Stretches:
        return Stretches(self.first.to(device), self.last.to(device), self.kind.to(device))

    def __getitem__(self, windows: Tensor) -> Stretches:
        return Stretches(self.first[windows], self.last[windows], self.kind[windows])

    @property
    def speech(self) -> float:
        """The share of them that is speech."""
        return float((self.kind == SPEECH).sum() / (self.kind != NO_STRETCH).sum())


class Network(nn.Module):
    """The gate while it learns; its input is scaled to a standard deviation of 1."""

    def __init__(self, n_state: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_state, hidden)
        self.near = nn.Conv1d(hidden, hidden, NEAR_TAPS, padding=NEAR_TAPS // 2)
        self.far = nn.Conv1d(hidden, hidden, FAR_TAPS, padding=DILATION * (FAR_TAPS // 2), dilation=DILATION)
        self.out = nn.Linear(2 * hidden, 1)

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


def fit(activations: Activations, mean: Tensor, spread: Tensor, training: Training | None = None) -> Conv:
    """Train on recorded activations, on the CPU. The rest as `fit_steps`."""

    def steps(windows: Tensor) -> Tensor:
        return steps_of(torch.stack([activations.frames(i) for i in windows.tolist()]))

    return fit_steps(steps, activations.labels, activations.content, mean, spread, training)


def fit_steps(
    steps: Callable[[Tensor], Tensor],
    labels: np.ndarray,
    content: np.ndarray,
    mean: Tensor,
    spread: Tensor,
    training: Training | None = None,
    device: torch.device | str = "cpu",
) -> Conv:
    """Train on all windows, ``epochs`` times, or more often where they are few; returns the gate on ``device``.

    ``steps`` gives, for the indices (batch,) int64 of windows, their steps (batch, n, n_state) on ``device``, in any
    float type. ``labels``: (windows, 2 * n) int8 of frames; ``content``: (windows,) frames of audio. ``mean``
    (n_state,) centres the activations; ``spread`` (n_state,) is that of normalised steps.
    """
    training, device = training or Training(), torch.device(device)
    mean, spread = mean.to(device), spread.to(device)
    stretches, targets = (
        Stretches.of(labels, content).to(device),
        torch.from_numpy(step_labels(labels)).to(device),
    )
    share, step_share = stretches.speech, float((targets == SPEECH).sum() / (targets >= 0).sum())
    with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type):
        torch.manual_seed(training.seed)
        network = Network(len(spread), training.hidden).to(device)
        optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.3)
        batches = -(-len(labels) // training.batch)
        epochs = max(training.epochs, -(-training.fewest_steps // batches))
        total = epochs * batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, training.learning_rate, total_steps=total)
        orders = _batches(len(labels), training.batch, epochs)
        for chosen in tqdm(orders, total=total, desc="gate", unit="step"):
            x = normalise(steps(chosen).float(), mean)[0] / spread
            evidence = network(x + NOISE * torch.randn_like(x))
            windows = chosen.to(device)
            loss = stretch_loss(evidence, stretches[windows], share)
            target = targets[windows]
            known = target >= 0
            loss = loss + STEP_LOSS * _balanced(evidence[known], target[known] == SPEECH, step_share)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.requires_grad_(False).gate(mean, spread)


def stretch_loss(evidence: Tensor, stretches: Stretches, share: float) -> Tensor:
    """The loss on the strongest 0.2 s of every stretch of a batch of windows.

    ``evidence``: logits (batch, steps); ``share`` of all stretches are speech.
    """
    means = smooth(evidence)
    row, column = (stretches.kind != NO_STRETCH).nonzero(as_tuple=True)
    first, last = (bound[row, column][:, None] for bound in (stretches.first, stretches.last))
    step = torch.arange(means.shape[1], device=means.device)
    strongest = means[row].masked_fill((step < first) | (step >= last), -torch.inf).amax(dim=1)
    return _balanced(strongest, stretches.kind[row, column] == SPEECH, share)


def _of(bias: Tensor | None) -> Tensor:
    assert bias is not None
    return bias


def step_labels(labels: np.ndarray) -> np.ndarray:
    """Labels of frames (n, frames) -> of steps (n, frames / 2): speech where either is, else unknown where one is."""
    pairs = labels.reshape(len(labels), -1, FRAMES_PER_STEP)
    found = np.where((pairs < 0).any(axis=2), -1, NONSPEECH)
    return np.where((pairs == SPEECH).any(axis=2), SPEECH, found).astype(np.int8)


def _batches(n: int, batch: int, epochs: int) -> Iterator[Tensor]:
    """Indices of windows, ``batch`` at a time, in a new order every epoch."""
    for _ in range(epochs):
        yield from torch.randperm(n).split(batch)


def _balanced(evidence: Tensor, speech: Tensor, share: float) -> Tensor:
    """Binary cross entropy in which speech, a ``share`` of all, weighs as much as the rest."""
    weight = torch.where(speech, 0.5 / share, 0.5 / (1 - share)).float()
    return F.binary_cross_entropy_with_logits(evidence, speech.float(), weight)
