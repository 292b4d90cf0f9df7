"""Edits of encoder activations in every window, no gate: the published SAE methods, controls, and our clamp alone.

All act at the hook point and on the latents of the model's steering artifact, with stock's ban on an empty result
lifted (compare with `ban-lifted`), each at the strength that the rule of `fits.py` chooses, or at a given one
(``clamp-always@0.1``). "write-back" replaces the activations by the SAE's reconstruction, as both papers do; "add-back"
adds the change of the latents only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingResult

from whisper_steer.steer.artifact import Artifact

from ..curves.baselines import along_random
from ..fits import Bank
from ..probes import lifted
from ..published import EDITS
from ..session import Session
from .base import System, register


class EncoderEdit(System):
    stage = "encoder"
    base = "ban-lifted"
    lift_ban = True
    uses_artifact = True
    method: ClassVar[str] = "clamp"
    write_back: ClassVar[bool] = False
    given: ClassVar[float | None] = None
    """strength of the user's, of a class made by `at`"""
    strength = 1.0
    mates: Sequence[EncoderEdit] = ()
    """the run's systems of this kind, itself among them: their windows are decoded in one batch"""

    @classmethod
    def available(cls, session: Session) -> str | None:
        return None if session.artifact else "no steering artifact for this model"

    @classmethod
    def at(cls, strength: float) -> type[EncoderEdit]:
        changes = {"name": f"{cls.name}@{strength:g}", "given": strength, "__module__": cls.__module__}
        return type(cls.__name__, (cls,), changes)

    def fit(self, bank: Bank) -> dict[str, Any]:
        if self.given is not None:
            return {"strength": self.given}
        return bank.strength(
            list(EDITS[self.method].grid), features=lambda s, mel: self.features(bank.session, mel, s)
        )

    def load(self, session: Session, state: dict[str, Any]) -> None:
        self.strength = state["strength"]

    def encode(self, session: Session, mel: Tensor) -> Tensor:
        return session.encodings.edited(self.name, mel, lambda: self.features(session, mel, self.strength))

    def decode(self, session: Session, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        """All systems of this kind decode their windows in one batch: it costs little more than one of them."""
        if self.mates:
            session.decode_together([mate.encode(session, mel) for mate in self.mates], lifted(options))
        return super().decode(session, mel, options)

    @torch.no_grad()
    def features(self, session: Session, mel: Tensor, strength: float) -> Tensor:
        artifact = session.need_artifact()
        hidden = session.hidden(mel, artifact.hook_point)
        h = hidden.float()[None]
        (edited,) = self.base_of(artifact, h) + self.change(artifact, h, strength)
        return session.resume(edited.to(hidden.dtype), artifact.hook_point)

    def base_of(self, artifact: Artifact, h: Tensor) -> Tensor:
        """What the change is added to: the activations themselves, or their reconstruction by the SAE."""
        return artifact.load_sae().reconstruct(h) if self.write_back else h

    def change(self, artifact: Artifact, h: Tensor, strength: float) -> Tensor:
        return EDITS[self.method](h, artifact.edits, strength)


@register
class AudioSAE(EncoderEdit):
    name = "audiosae-write-back"
    about = "z + a v, SAE reconstruction written back (arXiv 2602.05027)"
    method = "additive"
    write_back = True


@register
class AudioSAEAddBack(AudioSAE):
    name = "audiosae-add-back"
    about = "z + a v, only the change written back"
    write_back = False


@register
class ScaledAdditive(EncoderEdit):
    name = "scaled-additive-write-back"
    about = "z + a s Z, SAE reconstruction written back (arXiv 2606.07473)"
    method = "scaled-additive"
    write_back = True


@register
class ScaledAdditiveAddBack(ScaledAdditive):
    name = "scaled-additive-add-back"
    about = "z + a s Z, only the change written back"
    write_back = False


@register
class Multiplicative(EncoderEdit):
    name = "multiplicative-write-back"
    about = "z a^s, SAE reconstruction written back (arXiv 2606.07473)"
    method = "multiplicative"
    write_back = True


@register
class MultiplicativeAddBack(Multiplicative):
    name = "multiplicative-add-back"
    about = "z a^s, only the change written back"
    write_back = False


@register
class MeanDifference(EncoderEdit):
    name = "mean-difference"
    about = "activations + a (mean of silent non-speech - mean of speech), every window"
    method = "mean-difference"


@register
class SilenceAlways(EncoderEdit):
    name = "silence-ungated"
    about = "latents of silence moved where latents say that nobody speaks, every window"
    method = "silence"


@register
class ClampAlways(EncoderEdit):
    name = "clamp-always"
    about = "our error-preserving clamp without the gate, every window"


@register
class RandomDirection(EncoderEdit):
    name = "random-direction"
    about = "control: one random direction, in each frame with the norm of the clamp's change"

    def change(self, artifact: Artifact, h: Tensor, strength: float) -> Tensor:
        return along_random(super().change(artifact, h, strength))
