"""Baselines that decide per window whether stock decodes it: energy, no_speech probability, a decoder state."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ..fits import Bank
from ..probes import first_state, no_speech_logit
from ..session import Session
from .base import Gate, register

POOL = 20
"""mel frames (10 ms) over which energy is averaged: 0.2 s, as in whisper-steer's gate"""


@register
class EnergyGate(Gate):
    name = "energy-gate"
    about = "loudest 0.2 s of the window, in dB; threshold chosen on the choose split"

    def evidence(self, session: Session, mel: Tensor) -> float:
        """dB, from the log-mel spectrogram itself: Whisper stores (log10 power + 4) / 4, floored 8 decades down."""
        power = torch.pow(10.0, mel.float() * 4 - 4).sum(dim=0)
        pooled = torch.nn.functional.avg_pool1d(power[None, None], POOL, stride=1)
        return float(10 * torch.log10(pooled.amax().clamp_min(1e-10)))


@register
class NoSpeechGate(Gate):
    name = "no-speech-prob"
    about = "the probability of the no-speech token alone; threshold chosen on the choose split"

    def evidence(self, session: Session, mel: Tensor) -> float:
        """Logit of speech: -logit(no_speech_prob)."""
        return -no_speech_logit(session, session.encode(mel))


@register
class DecoderStateGate(Gate):
    name = "decoder-state-gate"
    about = "logistic regression on the decoder's first state, block 0 (after arXiv 2608.15940)"
    block = 0
    weight: Tensor
    bias: float

    def learn(self, bank: Bank) -> dict[str, Any]:
        x, y = [], []
        for kind, label in (("speech", 1), ("nonspeech", 0)):
            for features in bank.features("fit", kind):
                x.append(first_state(bank.session, features, self.block).cpu().numpy())
                y.append(label)
        states = np.stack(x)
        mean, deviation = states.mean(0), states.std(0) + 1e-6
        model = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
        model.fit((states - mean) / deviation, y)
        weight = model.coef_[0] / deviation
        return {"weight": weight.tolist(), "bias": float(model.intercept_[0] - weight @ mean)}

    def load(self, session: Session, state: dict[str, Any]) -> None:
        super().load(session, state)
        self.weight = torch.tensor(state["weight"], device=session.model.device)
        self.bias = state["bias"]

    def evidence(self, session: Session, mel: Tensor) -> float:
        return float(first_state(session, session.encode(mel), self.block) @ self.weight + self.bias)
