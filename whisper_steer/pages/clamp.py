"""What a latent does to the decoder: the text of a clip with the latent clamped on every frame of its window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
import whisper
from torch import Tensor
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Clip
from whisper_steer.encoders.prefix import run_from
from whisper_steer.encoders.record import Activations
from whisper_steer.fit.scoring import effect_on_decoder
from whisper_steer.models.hooks import read_activations
from whisper_steer.sae.model import SAE

TOKENS = 100
"""most that are decoded"""


@dataclass(frozen=True)
class Texts:
    """What the decoder writes of one clip."""

    plain: str
    zero: str
    """with the latent clamped to 0"""
    high: str
    """with the latent clamped to its high value"""

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


class Clamping:
    """A Whisper whose latents at one hook point are clamped. ``point``: see `whisper_steer.models.hooks`."""

    def __init__(self, model: Whisper, point: str, sae: SAE) -> None:
        self.model, self.point, self.sae = model, point, sae

    def window(self, clip: Clip) -> Tensor:
        """Activations (1500, n_state) float32 of a clip's first half minute. Raises `AudioError`."""
        mel = window_mel(clip.samples(), self.model.dims.n_mels)[None]
        return read_activations(self.model.encoder, mel, [self.point])[self.point][0].float()

    def effect(self, clips: Sequence[Clip], high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of every latent, (n_latents,): by how much clamping it, to ``high`` or to 0, whichever helps, raises the log
        odds that the decoder writes nothing, to first order, a mean over clips without speech; and the gradient of
        those log odds, whose sign says which of the two it is. Raises `AudioError`."""
        hidden = np.stack([self.window(clip).half().numpy() for clip in clips])
        labels = np.zeros(hidden.shape[:2], np.int8)
        none = np.zeros(len(clips), bool)
        activations = Activations(hidden, labels, np.full(len(clips), 1500), none, [""] * len(clips))
        effect, gradient = effect_on_decoder(
            self.model, self.point, self.sae, activations, torch.from_numpy(high).float(), len(clips)
        )
        return effect.numpy(), gradient.numpy()

    def clamped(self, hidden: Tensor, latent: int, value: float) -> Tensor:
        """Activations (frames, n_state) with one latent changed to ``value`` along its decoder direction, and what the
        SAE does not explain left as it is."""
        with torch.no_grad():
            z, (_, scale) = self.sae.encode(hidden)[:, latent, None], self.sae.normalise(hidden)
            return hidden + (value - z) * scale * self.sae.W_dec[latent]

    def texts(self, clip: Clip, latent: int, high: float) -> Texts:
        """The three texts of a clip, greedily, nothing being allowed too. Raises `AudioError`."""
        hidden = self.window(clip)
        several = [hidden, self.clamped(hidden, latent, 0.0), self.clamped(hidden, latent, high)]
        return Texts(*self.write(torch.stack(several), clip.language))

    @torch.no_grad()
    def write(self, hidden: Tensor, language: str | None) -> list[str]:
        """What the decoder writes from activations (n, 1500, n_state)."""
        spoken = language or "en" if self.model.is_multilingual else "en"
        options = whisper.DecodingOptions(
            language=spoken, without_timestamps=True, suppress_blank=False, fp16=False, sample_len=TOKENS,
            length_penalty=0.0,  # by default an empty result is divided by its length
        )  # fmt: skip
        features = run_from(self.model.encoder, self.point, hidden)
        return [result.text for result in whisper.decode(self.model, features, options)]


__all__ = ["Clamping", "Texts"]
