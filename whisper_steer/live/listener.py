"""Listening while it is being said: `Listener.feed` takes samples and tells when speech starts and ends."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from whisper.audio import SAMPLE_RATE
from whisper.model import Whisper

from whisper_steer.audio.load import as_samples
from whisper_steer.data.clips import Audio
from whisper_steer.errors import UsageError
from whisper_steer.gate.spans import Evidence
from whisper_steer.live.activations import RecentActivations
from whisper_steer.live.mel import MelStream
from whisper_steer.live.turns import Event, Turns
from whisper_steer.runtimes.openai import prepare
from whisper_steer.steer.steering import Steering

HOP = 3840
"""samples after which the blocks run again: 0.24 s"""
JUDGED = 100
"""positions of 20 ms that the gate is given: those that decide, and as far around them as it sees"""


class Listener:
    """Tells when speech starts and ends in a stream of samples at 16 kHz, by the gate of the model's artifact.

    ``model``: openai-whisper's, of which the first blocks run, and are not changed: several listeners may share it,
    one for each stream. ``steering`` and ``max_suppressed_speech`` as of `whisper_steer.transcribe`. What is held of
    the past is half a minute, however long the stream. Raises `ArtifactError` (no artifact for this model),
    `FingerprintError`, `UsageError`.
    """

    _waiting: Audio
    _samples: int

    def __init__(
        self,
        model: Whisper,
        *,
        steering: Steering | str | Path = "auto",
        max_suppressed_speech: float | None = None,
    ) -> None:
        chosen = prepare(model, steering, max_suppressed_speech=max_suppressed_speech)
        if chosen is None:
            raise UsageError(
                'listening needs steering that is on: pass "auto", or an artifact\'s folder or name'
            )
        self.steering = chosen
        self._prefix = chosen.prefix(model.encoder)
        self._gate = chosen.artifact.gate.to(self._prefix.device)
        self._begin()

    @property
    def speaking(self) -> bool:
        """Whether somebody speaks, as far as was told."""
        return self._turns.speaking

    @property
    def seconds(self) -> float:
        """How much has been listened to."""
        return self._samples / SAMPLE_RATE

    def feed(self, samples: np.ndarray) -> list[Event]:
        """Samples (n,) that come next, float32 within +-1 or as `whisper_steer.load_audio` takes arrays, n of any size.

        Returns what they tell, in order; the same for the same samples however they are cut. Raises `AudioError` for
        samples that are not finite or of another type.
        """
        self._waiting = np.concatenate([self._waiting, as_samples(np.asarray(samples))])
        found = []
        whole = len(self._waiting) // HOP * HOP
        for start in range(0, whole, HOP):
            self._samples += HOP
            self._activations.feed(self._mel.feed(self._waiting[start : start + HOP]))
            found.append(self._turns.hear(*self.evidence(), self.seconds))
        self._waiting = self._waiting[whole:]
        return [event for event in found if event is not None]

    def finish(self) -> list[Event]:
        """The stream is over: what its last samples tell, and the end of speech where somebody speaks.

        The next samples fed begin another stream, at 0 s.
        """
        self._samples += len(self._waiting)
        for mel in (self._mel.feed(self._waiting), self._mel.finish()):
            self._activations.feed(mel)
        found = [self._turns.hear(*self.evidence(), self.seconds), self._turns.finish(self.seconds)]
        self._begin()
        return [event for event in found if event is not None]

    @torch.no_grad()
    def evidence(self) -> tuple[int, Evidence]:
        """The newest steps of 40 ms: how many lie before them in the stream, and their logits (n,), n up to 96."""
        first, hidden = self._activations.newest(JUDGED)
        if not len(hidden):
            return 0, np.zeros(0, np.float32)
        found = self._gate.evidence(hidden[None])[0]
        # What cannot be judged counts as speech, as in `whisper_steer.gate.hearing`.
        found = found if bool(found.isfinite().all()) else torch.full_like(found, torch.inf)
        return first // 2, found.cpu().numpy()

    def _begin(self) -> None:
        self._mel = MelStream(self._prefix.n_mels, self._prefix.device)
        self._activations = RecentActivations(self._prefix)
        self._turns = Turns(self.steering.threshold)
        self._waiting = np.zeros(0, np.float32)
        self._samples = 0


__all__ = ["Event", "Listener"]
