"""The gate: does anybody speak in this window? It decides from the activations that the hook sees anyway.

Speech evidence of a frame is a logit. Its features are SAE latents, the normalised activations themselves ("dense"),
or a hidden layer on those ("mlp"). To that the context may be added: a linear reading of the activations, averaged over
the 3 s around the frame. A bark of 0.2 s looks like a word; what lies around it does not. A window's evidence is the
largest mean over 0.2 s, so that one spoken word shuts the gate.

The threshold comes from split conformal risk control (Angelopoulos et al., arXiv 2208.02814): with n held-out speech
windows that are exchangeable with the user's, the expected share of speech windows below it is at most the promise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whisper_steer.errors import UsageError
from whisper_steer.sae import Latents, normalise

POOL_FRAMES = 10
"""0.2 s at the encoder's 50 frames a second"""
CONTEXT_FRAMES = 151
"""3 s, centred on the frame; at the ends of the window less"""
LEAK = 0.005
"""share of held-out non-speech that the threshold need not stop"""


@dataclass
class Gate:
    """Frame evidence = features @ weight + bias, in logits of "this frame carries speech"."""

    weight: Tensor
    """(n_features,), or (n_hidden,)"""
    bias: Tensor
    """scalar"""
    mean: Tensor
    """(n_state,) centre of the activations"""
    latents: Latents | None = None
    """SAE latents that are the features; None: the centred unit-norm activations are"""
    hidden_weight: Tensor | None = None
    """(n_features, n_hidden) of a ReLU layer between the features and the evidence"""
    hidden_bias: Tensor | None = None
    """(n_hidden,)"""
    context: Tensor | None = None
    """(n_state,) weights of the normalised activations, averaged over `CONTEXT_FRAMES`; their bias is in ``bias``"""

    @property
    def kind(self) -> str:
        """ "sae", "dense" or "mlp"; with " + context" where that is read."""
        frame = "sae" if self.latents is not None else "dense" if self.hidden_weight is None else "mlp"
        return frame if self.context is None else f"{frame} + context"

    def frame_evidence(self, h: Tensor) -> Tensor:
        """Activations (batch, frames, n_state) -> logits (batch, frames), float32."""
        if self.latents is None or self.context is not None:
            x, _ = normalise(h.float(), self.mean)
        features = x if self.latents is None else self.latents.encode(h)[0]
        if self.hidden_weight is not None and self.hidden_bias is not None:
            features = torch.relu(features @ self.hidden_weight + self.hidden_bias)
        evidence = features @ self.weight + self.bias
        return evidence if self.context is None else evidence + around(x @ self.context)

    def to(self, device: torch.device) -> Gate:
        """The same gate on another device."""
        moved: dict[str, Any] = {k: None if v is None else v.to(device) for k, v in vars(self).items()}
        return Gate(**moved)


def pool(frame_evidence: Tensor, frames: int = POOL_FRAMES) -> Tensor:
    """Largest mean over ``frames`` successive frames: (batch, n) -> (batch,)."""
    return moving_mean(frame_evidence, frames).amax(dim=-1)


def moving_mean(frame_evidence: Tensor, frames: int = POOL_FRAMES) -> Tensor:
    """(batch, n) -> (batch, n - frames + 1)."""
    return torch.nn.functional.avg_pool1d(frame_evidence[:, None], frames, stride=1)[:, 0]


def around(values: Tensor, frames: int = CONTEXT_FRAMES) -> Tensor:
    """Mean over the ``frames`` (odd) centred on each, as far as they lie in the window: (batch, n) -> (batch, n)."""
    return torch.nn.functional.avg_pool1d(
        values[:, None], frames, stride=1, padding=frames // 2, count_include_pad=False
    )[:, 0]


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
    """The threshold in use: the promise's bound, or where there is room below it, the middle of that room.

    The room reaches down to the threshold that stops all but `LEAK` of the held-out non-speech: speech is suppressed
    no more than needed.
    """
    bound = conformal_threshold(speech_scores, max_suppressed)
    enough = float(torch.quantile(nonspeech_scores, 1.0 - LEAK, interpolation="higher"))
    return bound if enough >= bound else (bound + enough) / 2
