"""The training of a stack of SAEs: one loop, resumable after a kill, the same for the same seed.

`train` runs it on frames from any source, `train_on` on the recorded windows of ``whisper-steer fit``.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from whisper_steer.encoders.record import Activations
from whisper_steer.errors import FitError, UsageError
from whisper_steer.files.disk import write_whole
from whisper_steer.sae.model import SAE
from whisper_steer.sae.plan import Plan
from whisper_steer.sae.stack import Member, Stack

SAVE_SECONDS = 120.0
"""between two savings of the state"""
LOOKS = 10
"""times that a training is looked at on the way"""
HELD_OUT = 20_000
"""frames"""

Rows = list[dict[str, Any]]


class Source(Protocol):
    """Where frames come from."""

    def batch_at(self, step: int) -> Tensor:
        """(points, batch, n_state) float32: the same at every call."""
        ...

    def sample(self) -> Tensor:
        """(points, frames, n_state) of the same kind of frames."""
        ...


@dataclass(frozen=True)
class Quality:
    """How well an SAE explains held-out frames, run as at inference."""

    explained_variance: float
    """of the unit-norm input, over frames and dimensions"""
    mean_active: float
    """latents above the threshold per frame"""
    dead: float
    """share of latents that no frame activates"""


@dataclass(frozen=True)
class State:
    """The file in which a training is kept. ``depends``: JSON of all that it depends on."""

    path: Path
    depends: str

    def save(self, stack: Stack, step: int, rows: Rows) -> None:
        told = {"depends": self.depends, "step": str(step), "rows": json.dumps(rows)}
        tensors = {name: tensor.cpu().contiguous() for name, tensor in stack.state().items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self.path, save(tensors, told))

    def restore(self, stack: Stack) -> tuple[int, Rows]:
        """The step to go on at, and what was seen up to there. Raises `UsageError` where it is another training's."""
        if not self.path.is_file():
            return 0, []
        with safe_open(self.path, "pt") as file:
            told = file.metadata()
            if told["depends"] != self.depends:
                raise UsageError(
                    f"{self.path} is the state of another training: name a new folder, or delete the file"
                )
            stack.restore({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
        return int(told["step"]), json.loads(told["rows"])


def train(
    stack: Stack,
    source: Source,
    state: State | None = None,
    look: Callable[[int], Rows] | None = None,
    show: Callable[[Rows], None] | None = None,
) -> Rows:
    """All steps of a stack, from where its state was kept. ``look`` tells of a step what is worth keeping; ``show`` is
    given all of that each time. Returns what was seen."""
    steps = stack.plan.steps
    start, rows = state.restore(stack) if state else (0, [])
    looks = {-(-steps * part // LOOKS) for part in range(1, LOOKS)} if look else set()
    saved = time.monotonic()
    for step in tqdm(range(start, steps), initial=start, total=steps, desc="SAE", unit="step"):
        if look and step in looks:
            rows = rows + look(step)
            if show:
                show(rows)
        stack.learn(source.batch_at(step), step)
        if state and time.monotonic() - saved > SAVE_SECONDS:
            state.save(stack, step + 1, rows)
            saved = time.monotonic()
    return rows + look(steps) if look else rows


class Windowed:
    """Frames of recorded windows, as a source for one SAE."""

    def __init__(self, activations: Activations, plan: Plan) -> None:
        self.activations, self.plan = activations, plan
        self.rng = np.random.default_rng(plan.seed)
        self.index = activations.frame_index(self.rng)
        if len(self.index) < plan.batch:
            raise FitError(
                f"{len(self.index)} frames of audio are too few for an SAE; fit on at least a few minutes"
            )

    def batch_at(self, step: int) -> Tensor:
        rng = np.random.default_rng([self.plan.seed, step])
        return _gather(self.activations, self.index[rng.integers(len(self.index), size=self.plan.batch)])[
            None
        ]

    def sample(self) -> Tensor:
        return _gather(self.activations, self.index[self.rng.permutation(len(self.index))[:HELD_OUT]])[None]


def train_on(
    activations: Activations, plan: Plan, folder: Path | None = None, control: str | None = None
) -> SAE:
    """An SAE of the frames of recorded windows.

    ``folder``: where the state is kept, under a name made of everything it depends on, activations included. Raises
    `FitError` where there are fewer frames than one batch.
    """
    source = Windowed(activations, plan)
    stack = Stack(plan, [""], [Member("", control)], source.sample())
    state = None
    if folder is not None:
        depends = json.dumps([activations.digest(), asdict(plan), control])
        state = State(folder / f"{hashlib.sha256(depends.encode()).hexdigest()[:20]}.safetensors", depends)
    train(stack, source, state)
    if state is not None:
        state.save(stack, plan.steps, [])
    return stack.sae(0)


def measure(sae: SAE, activations: Activations, frames: int = HELD_OUT, seed: int = 1) -> Quality:
    """`quality` on a sample of the frames of other windows than those of training."""
    rng = np.random.default_rng(seed)
    index = activations.frame_index(rng)
    return quality(sae, _gather(activations, index[rng.permutation(len(index))[:frames]]))


@torch.no_grad()
def quality(sae: SAE, h: Tensor) -> Quality:
    """Of activations (frames, n_state) that it was not trained on."""
    x, _ = sae.normalise(h)
    z = sae.encode(h)
    return _quality([(z, x, sae.decode(z))])


def quality_in(stack: Stack, index: int, h: Tensor, size: int = 4096) -> Quality:
    """The same of an SAE in training, ``size`` frames at a time."""
    return _quality([stack.latents(part.float(), index) for part in h.split(size)])


def _quality(parts: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Quality:
    """From latents, inputs and reconstructions."""
    n = sum(len(x) for _, x, _ in parts)
    mean = sum(x.sum(dim=0) for _, x, _ in parts) / n
    left = sum(float((x - y).pow(2).sum()) for _, x, y in parts)
    there = sum(float((x - mean).pow(2).sum()) for _, x, _ in parts)
    active = sum(float((z > 0).sum()) for z, _, _ in parts) / n
    ever = torch.stack([(z > 0).any(dim=0) for z, _, _ in parts]).any(dim=0)
    return Quality(1 - left / there, active, 1 - float(ever.float().mean()))


def _gather(activations: Activations, index: np.ndarray) -> Tensor:
    return activations.gather(index[np.argsort(index[:, 0], kind="stable")])
