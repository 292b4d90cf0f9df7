"""The gate: does anybody speak in this window? It decides from the activations that the hook sees anyway.

Speech evidence of a frame is a logit. Its features are SAE latents, the normalised activations themselves ("dense"),
what a convolution makes of half a second of those ("conv"), or both of the latter ("conv + dense"). To that the
context may be added: a linear reading of the same features, averaged over the 3 s around the frame. A bark of 0.2 s
looks like a word; what lies around it does not. A window's evidence is the largest mean over 0.2 s, so that one
spoken word shuts the gate.

The threshold comes from split conformal risk control (Angelopoulos et al., arXiv 2208.02814): with n held-out speech
windows that are exchangeable with the user's, the expected share of speech windows below it is at most the promise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from whisper_steer.errors import UsageError
from whisper_steer.sae import Latents, normalise

POOL_FRAMES = 10
"""0.2 s at the encoder's 50 frames a second"""
CONTEXT_FRAMES = 151
"""3 s, centred on the frame; at the ends of the window less"""
STEP = 2
"""frames of the activations in one of the convolution's"""


@dataclass
class Gate:
    """Frame evidence = features @ weight + bias + the mean of features @ context over the 3 s around the frame.

    It is in logits of "this frame carries speech".
    """

    weight: Tensor
    """(n_features,); a convolution's come first, the activations' behind them where both are read"""
    bias: Tensor
    """scalar"""
    mean: Tensor
    """(n_state,) centre of the activations"""
    latents: Latents | None = None
    """SAE latents that are the features; None: the centred unit-norm activations are, or what is made of them"""
    hidden_weight: Tensor | None = None
    """(n_state, n_hidden) of a ReLU layer on the activations"""
    hidden_bias: Tensor | None = None
    """(n_hidden,)"""
    conv_weight: Tensor | None = None
    """(n_hidden, n_hidden, width) of a convolution over time behind it"""
    conv_bias: Tensor | None = None
    """(n_hidden,)"""
    context: Tensor | None = None
    """(n_features,) weights of the features, averaged over `CONTEXT_FRAMES`; their bias is in ``bias``"""

    @property
    def kind(self) -> str:
        """ "sae", "dense", "conv" or "conv + dense"; with " + context" where that is read."""
        frame = "sae" if self.latents is not None else "dense" if self.conv_weight is None else "conv"
        if self.conv_weight is not None and len(self.weight) > len(self.conv_weight):
            frame = "conv + dense"
        return frame if self.context is None else f"{frame} + context"

    def features(self, h: Tensor) -> Tensor:
        """Activations (batch, frames, n_state) -> (batch, frames, n_features), float32."""
        if self.latents is not None:
            return self.latents.encode(h)[0]
        x, _ = normalise(h.float(), self.mean)
        if self.hidden_weight is None or self.conv_weight is None:
            return x
        found = convolved(x, self.hidden_weight, self.hidden_bias, self.conv_weight, self.conv_bias)
        return found if len(self.weight) == found.shape[-1] else torch.cat([found, x], dim=-1)

    def frame_evidence(self, h: Tensor) -> Tensor:
        """Activations (batch, frames, n_state) -> logits (batch, frames), float32."""
        return self.read(self.features(h))

    def read(self, features: Tensor) -> Tensor:
        """Features (batch, frames, n_features) -> logits (batch, frames)."""
        evidence = features @ self.weight + self.bias
        return evidence if self.context is None else evidence + around(features @ self.context)

    def to(self, device: torch.device) -> Gate:
        """The same gate on another device."""
        moved: dict[str, Any] = {k: None if v is None else v.to(device) for k, v in vars(self).items()}
        return Gate(**moved)


def convolved(
    x: Tensor,
    hidden_weight: Tensor,
    hidden_bias: Tensor | None,
    conv_weight: Tensor,
    conv_bias: Tensor | None,
    dropout: float = 0.0,
) -> Tensor:
    """Features of the kind "conv": a ReLU layer on every frame, the mean of every `STEP` frames, a ReLU convolution.

    (batch, frames, n_state) -> (batch, frames, n_features), a step's for each of its frames. Dropout is for training.
    """
    hidden = F.dropout(torch.relu(F.linear(x, hidden_weight.T, hidden_bias)), dropout)
    steps = F.avg_pool1d(hidden.transpose(1, 2), STEP, ceil_mode=True)
    # A convolution of one row in two dimensions: on a CPU a third faster than one in one dimension.
    rows = F.conv2d(
        steps[:, :, None], conv_weight[:, :, None], conv_bias, padding=(0, conv_weight.shape[-1] // 2)
    )
    features = F.dropout(torch.relu(rows[:, :, 0]), dropout).transpose(1, 2)
    return features.repeat_interleave(STEP, dim=1)[:, : x.shape[1]]


def pool(frame_evidence: Tensor, frames: int = POOL_FRAMES) -> Tensor:
    """Largest mean over ``frames`` successive frames: (batch, n) -> (batch,)."""
    return moving_mean(frame_evidence, frames).amax(dim=-1)


def moving_mean(frame_evidence: Tensor, frames: int = POOL_FRAMES) -> Tensor:
    """(batch, n) -> (batch, n - frames + 1)."""
    return F.avg_pool1d(frame_evidence[:, None], frames, stride=1)[:, 0]


def around(values: Tensor, frames: int = CONTEXT_FRAMES) -> Tensor:
    """Mean over the ``frames`` (odd) centred on each, as far as they lie in the window: (batch, n) -> (batch, n)."""
    return F.avg_pool1d(values[:, None], frames, stride=1, padding=frames // 2, count_include_pad=False)[:, 0]


def smallest_promise(n: int) -> float:
    """The smallest share that a calibration on n windows can promise: (0 + 1) / (n + 1)."""
    return 1.0 / (n + 1)


def conformal_threshold(speech_scores: Tensor, max_suppressed: float) -> float:
    """Largest threshold that keeps the promise ``max_suppressed`` on speech (a share, 0..1).

    ``speech_scores`` (n,): evidence of held-out speech windows. A window is suppressed when its evidence is below
    the threshold t. Conformal risk control takes the largest t with (suppressed(t) + 1) / (n + 1) <= promise.
    Raises `UsageError` where n is too small for the promise.
    """
    n = len(speech_scores)
    if not 0.0 < max_suppressed < 1.0:
        raise UsageError(f"--max-suppressed-speech is a share between 0 and 1, not {max_suppressed}")
    allowed = int(max_suppressed * (n + 1) + 1e-9) - 1
    if allowed < 0:
        raise UsageError(
            f"{n} calibration windows cannot promise at most {max_suppressed:.3%} suppressed speech; "
            f"ask for {smallest_promise(n):.3%} or more, or fit on more speech"
        )
    return float(speech_scores.sort().values[min(allowed, n - 1)])


def choose_threshold(speech_scores: Tensor, nonspeech_scores: Tensor, max_suppressed: float) -> float:
    """The threshold in use: the middle of the room between the promise's bound and the held-out non-speech below it.

    Anywhere in that room the same non-speech is stopped; in its middle speech is suppressed no more than needed. Where
    no non-speech lies below the bound, it is the bound.
    """
    bound = conformal_threshold(speech_scores, max_suppressed)
    below = nonspeech_scores[nonspeech_scores < bound]
    return (bound + float(below.max())) / 2 if len(below) else bound
