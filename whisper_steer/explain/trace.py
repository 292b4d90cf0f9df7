"""The named latents over a recording: how active they are, and what they add to the gate's evidence.

The encoder runs over the recording in the windows of `whisper_steer.gate.hearing`. Where the SAE lies at the point that
the gate reads, it is known what each latent adds to the evidence, to first order (gradient times input, Shrikumar et
al., arXiv 1605.01713): switched off, it would take from the activations ``z * scale * direction``, so it adds
``z * scale * (gradient of the evidence . direction)`` logits. That is a cause of the decision. Where the SAE lies
behind that point, its latents say what is heard, not why the gate decided as it did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from whisper.audio import N_SAMPLES

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.explain.names import Names
from whisper_steer.explain.vote import likeliest
from whisper_steer.gate.hearing import STEP_SAMPLES, kept_of, window_starts
from whisper_steer.gate.kinds import FRAMES_PER_STEP, Gate
from whisper_steer.gate.spans import STEP_SECONDS

CHUNK = 12
"""steps of 40 ms over which an activation is averaged before it counts as firing or not"""
MOST_REASONS = 10
PIECE = 10
"""chunks, 4.8 s: about as long as the clips that names were learned on"""


@dataclass(frozen=True)
class Reason:
    """A latent with a name, in a stretch of a recording."""

    latent: int
    name: str
    precision: float
    heard: float
    """share of the stretch in which it fires, from 0 to 1"""
    weight: float | None
    """logits that it adds to the evidence where it fires, averaged over the stretch; None where the gate does not read
    it"""


@dataclass(frozen=True)
class Trace:
    """The named latents of a recording."""

    names: Names
    activity: Tensor
    """(steps, n) float16, of the 40 ms of a step"""
    added: Tensor | None
    """(steps, n) float16: logits that each adds to the evidence, all steps together, by being active in a step; None
    where the gate does not read them"""

    def steps(self, start: float, end: float) -> slice:
        """The steps between two places in seconds, at least one."""
        first = min(max(0, int(start / STEP_SECONDS + 1e-6)), len(self.activity) - 1)
        return slice(first, max(first + 1, round(end / STEP_SECONDS)))

    def firing(self, start: float, end: float) -> Tensor:
        """(chunks, n) bool, for each half a second between two places."""
        return chunked(self.activity[self.steps(start, end)].float()) > self.names.levels

    def probabilities(self, start: float, end: float) -> dict[tuple[str, ...], float]:
        """How likely each labelled class is heard between two places: see `whisper_steer.explain.vote`."""
        names = self.names
        chunks = chunked(self.activity[self.steps(start, end)].float())
        found = likeliest(names.vote, chunks, names.classes, PIECE)
        return dict(zip(names.classes, found.tolist(), strict=True))

    def reasons(self, start: float, end: float) -> list[Reason]:
        """The latents that count most between two places, at most `MOST_REASONS`.

        The heaviest come first, or those that fire longest where nothing is known of their weight.
        """
        firing = self.firing(start, end)
        heard = firing.float().mean(dim=0)
        added = None
        if self.added is not None:
            added = (chunked(self.added[self.steps(start, end)].float()) * firing).mean(dim=0)
        rank = heard if added is None else added.abs()
        found = []
        for i in rank.argsort(descending=True, stable=True)[:MOST_REASONS].tolist():
            if rank[i] > 0:
                name = self.names.named[i]
                weight = None if added is None else round(float(added[i]), 4)
                found.append(
                    Reason(name.latent, name.name, name.precision, round(float(heard[i]), 3), weight)
                )
        return found


def chunked(activity: Tensor, size: int = CHUNK) -> Tensor:
    """(steps, n) -> the means of so many steps (chunks, n); a shorter rest counts only where it is all there is."""
    whole = len(activity) // size * size
    return (
        activity[:whole].unflatten(0, (-1, size)).mean(dim=1) if whole else activity.mean(dim=0, keepdim=True)
    )


def trace(prefix: Prefix, gate: Gate | None, names: Names, audio: np.ndarray | Tensor) -> Trace:
    """The named latents in samples (n,) float32 at 16 kHz.

    ``prefix``: the encoder up to the point of the names. ``gate``: what reads that point, or None.
    """
    steps = -(-len(audio) // STEP_SAMPLES)
    n = len(names.named)
    activity = torch.zeros(max(steps, 1), n, dtype=torch.float16)
    added = None if gate is None else torch.zeros_like(activity)
    names_here, gate = names.latents.to(prefix.device), None if gate is None else gate.to(prefix.device)
    for start in window_starts(len(audio)):
        hidden = prefix(window_mel(torch.as_tensor(audio[start : start + N_SAMPLES]), prefix.n_mels)[None])[
            0
        ].float()
        with torch.no_grad():
            z, scale = names_here.encode(hidden)
        kept, there = kept_of(start, steps)
        activity[there] = by_step(z)[kept].half().cpu()
        if gate is not None and added is not None:
            slope = gradient(gate, hidden, max(0, kept.stop))
            push = z * scale * (slope @ names_here.directions.T)
            added[there] = (by_step(push) * FRAMES_PER_STEP)[kept].half().cpu()
    return Trace(names, activity, added)


def gradient(gate: Gate, hidden: Tensor, steps: int) -> Tensor:
    """Slope in activations (frames, n_state), of their shape, of the sum of the evidence of the first so many steps."""
    with torch.enable_grad():
        leaf = hidden.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(gate.evidence(leaf[None])[0, :steps].sum(), leaf)
    return slope.detach()


def by_step(frames: Tensor) -> Tensor:
    """(frames, n) -> the mean of every two (steps, n)."""
    return frames.unflatten(0, (-1, FRAMES_PER_STEP)).mean(dim=1)


__all__ = ["Reason", "Trace", "chunked", "trace"]
