"""Listening: a recording in, where somebody speaks in it out.

The encoder runs over the recording in windows of 30 s that overlap, up to the gate's hook point and no further. Each
window has a spectrogram of its own, so that what is heard in a place depends on the half minute around it and not on
how loud another part is, and a recording of any length is listened to in the memory of one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from whisper.audio import HOP_LENGTH, N_FRAMES, N_SAMPLES, SAMPLE_RATE

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.gate.kinds import Gate
from whisper_steer.gate.spans import STEP_SECONDS, Evidence, Span, spans_of

STEP_SAMPLES = round(STEP_SECONDS * SAMPLE_RATE)
STEPS = N_SAMPLES // STEP_SAMPLES
OVERLAP = 3 * SAMPLE_RATE
"""samples that two windows share; each decides on its half of them"""
BATCH_ON_GPU = 16
QUIET_STEPS = 7
"""0.28 s: longer than a stop within a word, shorter than a breath"""


@dataclass(frozen=True, eq=False)
class Hearing:
    """What was heard in a recording."""

    evidence: Evidence
    """(steps,) logits of "here somebody speaks", one for each 40 ms"""
    threshold: float
    """logit from which on a step is speech"""
    seconds: float
    """length of the recording"""
    level: Evidence | None = None
    """(steps,) the mean of the log-mel there, as loud as Whisper hears it"""

    @cached_property
    def spans(self) -> list[Span]:
        """Where somebody speaks, in order, with margins; pauses too short to matter lie within."""
        return spans_of(self.evidence, self.threshold, self.seconds)

    @property
    def whole(self) -> bool:
        """Whether one span is the whole recording."""
        return [(span.start, span.end) for span in self.spans] == [(0.0, self.seconds)]

    def strongest(self, start: float, end: float) -> float:
        """The strongest evidence between two places in seconds."""
        first = min(max(0, int(start / STEP_SECONDS)), len(self.evidence) - 1)
        return float(self.evidence[first : max(first + 1, round(end / STEP_SECONDS))].max())

    def within(self, clips: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """The parts of the spans that lie in a user's clips, (start, end) in seconds each, clip by clip."""
        found = [(max(span.start, start), min(span.end, end)) for start, end in clips for span in self.spans]
        return [(start, end) for start, end in found if end > start]

    def chunks(
        self, longest: float, clips: Sequence[tuple[float, float]] | None = None
    ) -> list[tuple[float, float]]:
        """The spans, in a user's clips where there are any, as pieces of at most ``longest`` seconds.

        A longer one is cut in the second half of the piece that is cut off: among the quarter of the steps with the
        weakest evidence where it is quietest. The gate hears seconds at once, and would cut into words by itself.
        """
        pieces = []
        for start, end in self.within([(0.0, self.seconds)] if clips is None else clips):
            while end - start > longest:
                first, last = (round(t / STEP_SECONDS) for t in (start + longest / 2, start + longest))
                cut = (first + self._weakest(first, last)) * STEP_SECONDS
                pieces.append((start, round(cut, 2)))
                start = round(cut, 2)
            pieces.append((start, end))
        return pieces

    def _weakest(self, first: int, last: int) -> int:
        """Where to cut between two steps, counted from the first."""
        evidence = self.evidence[first:last]
        if self.level is None:
            return int(np.argmin(evidence))
        loud = np.convolve(np.pad(self.level, QUIET_STEPS // 2, mode="edge"), np.ones(QUIET_STEPS), "valid")
        weak = evidence <= np.sort(evidence)[len(evidence) // 4]
        return int(np.argmin(np.where(weak, loud[first:last], np.inf)))


def listen(
    prefix: Prefix,
    gate: Gate,
    audio: np.ndarray | Tensor,
    threshold: float,
    batch: int | None = None,
) -> Hearing:
    """Listen to samples (n,) float32 at 16 kHz. ``batch``: windows at once; None is 1 on a CPU, 16 elsewhere.

    A window with a step whose evidence is not finite, as from activations that overflowed, cannot be judged: all of it
    counts as speech.
    """

    def window(start: int) -> Tensor:
        return window_mel(torch.as_tensor(audio[start : start + N_SAMPLES]), prefix.n_mels)

    return _stitched(prefix, gate, len(audio), window, threshold, batch)


def listen_to_mel(
    prefix: Prefix, gate: Gate, mel: Tensor, threshold: float, batch: int | None = None
) -> Hearing:
    """`listen` to the log-mel (mels, frames) of a recording, a frame every 10 ms, where there are no samples.

    Its scale is that of the loudest place in the recording, not in each window: quiet parts may be judged otherwise.
    """

    def window(start: int) -> Tensor:
        part = mel[:, start // HOP_LENGTH : start // HOP_LENGTH + N_FRAMES]
        return torch.nn.functional.pad(part, (0, N_FRAMES - part.shape[1]))

    return _stitched(prefix, gate, mel.shape[1] * HOP_LENGTH, window, threshold, batch)


def _stitched(
    prefix: Prefix, gate: Gate, n: int, window: Callable[[int], Tensor], threshold: float, batch: int | None
) -> Hearing:
    """``window``: the log-mel (mels, 3000) of the window that begins at a sample of n."""
    steps = -(-n // STEP_SAMPLES)
    evidence, level = np.full(steps, -np.inf, np.float32), np.zeros(steps, np.float32)
    size = batch or (1 if prefix.device.type == "cpu" else BATCH_ON_GPU)
    starts = window_starts(n)
    gate = gate.to(prefix.device)
    for i in range(0, len(starts), size):
        chosen = starts[i : i + size]
        mels = torch.stack([window(start) for start in chosen])
        loud = mels.float().mean(dim=1).reshape(len(chosen), STEPS, -1).mean(dim=2).cpu().numpy()
        for start, found, heard in zip(chosen, _judged(prefix, gate, mels), loud, strict=True):
            kept, there = kept_of(start, steps)
            evidence[there], level[there] = found[kept], heard[kept]
    return Hearing(evidence, threshold, n / SAMPLE_RATE, level)


def window_starts(n: int) -> list[int]:
    """Where the windows of n samples begin, in samples; the last one ends with the recording."""
    last = -(-max(0, n - N_SAMPLES) // STEP_SAMPLES) * STEP_SAMPLES
    return [*range(0, last, N_SAMPLES - OVERLAP), last]


def kept_of(start: int, steps: int) -> tuple[slice, slice]:
    """Of the window that begins at a sample: which of its steps count, and where they lie among all.

    In the overlap with the window before, the first half of it is that one's.
    """
    place = start // STEP_SAMPLES
    skipped = 0 if start == 0 else OVERLAP // 2 // STEP_SAMPLES
    end = min(steps - place, N_SAMPLES // STEP_SAMPLES)
    return slice(skipped, end), slice(place + skipped, place + end)


def _judged(prefix: Prefix, gate: Gate, mels: Tensor) -> Iterator[Evidence]:
    found = gate.evidence(prefix(mels))
    found = found.where(found.isfinite().all(dim=-1, keepdim=True), torch.inf)
    yield from found.cpu().numpy()
