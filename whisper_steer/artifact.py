"""A steering artifact on disk: a folder with ``card.json``, ``steering.safetensors`` and ``sae.safetensors``.

The card says what the artifact is and where it comes from; `steering.safetensors` holds the few latents, the gate
and the calibration scores that a run needs; `sae.safetensors` the whole SAE, read only on request. No pickle.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from whisper_steer.cache import cache_folder
from whisper_steer.errors import ArtifactError, FingerprintError, UsageError
from whisper_steer.gate import Gate
from whisper_steer.methods import Edits
from whisper_steer.replace import check_target, replacing
from whisper_steer.sae import SAE, Latents, SAEConfig
from whisper_steer.validation import CARD, check_card, check_tensors, damaged, read_card

SCHEMA = 2
TENSORS, SAE_TENSORS = "steering.safetensors", "sae.safetensors"


@dataclass
class Artifact:
    """Everything fitted for one encoder at one hook point."""

    name: str
    fingerprint: str
    """of the encoder it was fitted on, see `whisper_steer.fingerprint.encoder_fingerprint`"""
    fingerprint_bfloat16: str | None = field(default=None, kw_only=True)
    """of the same encoder in bfloat16; artifacts of earlier versions do not know it"""
    hook_point: str
    """see `whisper_steer.hooks`"""
    edits: Edits
    gate: Gate
    speech_scores: Tensor
    """(n,) window evidence of held-out speech: the calibration"""
    nonspeech_scores: Tensor
    """(m,) window evidence of held-out non-speech"""
    strengths: dict[str, float]
    """method name -> the strength chosen for it on held-out data"""
    info: dict[str, Any] = field(default_factory=dict)
    """the card's free part: model, sae, selected latents with scores, data, command, measured results"""
    sae: SAE | None = None
    path: Path | None = None

    def check(self, fingerprint: str) -> None:
        """Raise `FingerprintError` unless the artifact was fitted on that encoder."""
        if fingerprint not in (self.fingerprint, self.fingerprint_bfloat16):
            raise FingerprintError(
                f"artifact {self.name!r} was fitted on another encoder ({self.fingerprint[:19]}..., "
                f"this one is {fingerprint[:19]}...); fit one with: whisper-steer fit MODEL"
            )

    def save(self, path: str | Path) -> Path:
        """Write the folder; it appears whole or not at all.

        Raises `UsageError` as `check_free`, `ArtifactError` where it could not be loaded again.
        """
        path = Path(path)
        try:
            check_card(self.card())
            check_tensors(self.edits, self.gate, self.speech_scores, self.nonspeech_scores)
        except ValueError as error:
            raise ArtifactError(f"{self.name!r} cannot be saved: {error}; fit it again") from error
        with replacing(path, "artifact", _written) as folder:
            (folder / TENSORS).write_bytes(save(_tensors(self)))
            if self.sae is not None:
                state = {k: v.half().contiguous() for k, v in self.sae.state_dict().items()}
                (folder / SAE_TENSORS).write_bytes(save(state))
            (folder / CARD).write_text(json.dumps(self.card(), indent=2) + "\n", encoding="utf-8")
        self.path = path
        return path

    def digest(self) -> str:
        """12 hex digits of all that steers: weights, calibration, hook point, strengths, not of the rest."""
        settings = json.dumps([self.fingerprint, self.hook_point, self.strengths], sort_keys=True)
        return hashlib.sha256(save(_tensors(self)) + settings.encode()).hexdigest()[:12]

    def card(self) -> dict[str, Any]:
        """The JSON card."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "fingerprint_bfloat16": self.fingerprint_bfloat16,
            "hook_point": self.hook_point,
            "gate": {
                "kind": self.gate.kind,
                "features": len(self.gate.weight),
                "calibration_speech_windows": len(self.speech_scores),
                "calibration_nonspeech_windows": len(self.nonspeech_scores),
            },
            "strengths": self.strengths,
            **self.info,
        }

    @classmethod
    def load(cls, path: str | Path) -> Artifact:
        """Read a folder. Raises `ArtifactError` where a part is missing, damaged or of another schema.

        So it does where a value is not finite, or shapes do not go together: see `whisper_steer.validation`.
        """
        path = Path(path)
        if not (path / CARD).is_file():
            raise ArtifactError(
                f"no steering artifact at {path}: it has no {CARD}; make one with: whisper-steer fit"
            )
        card = read_card(path)
        schema = card.pop("schema", None)
        if schema != SCHEMA:
            raise ArtifactError(f"{path} has schema {schema!r}, this version reads {SCHEMA}; fit it again")
        try:
            check_card(card)
            parts = _from_tensors(load_file(path / TENSORS))
            check_tensors(**parts)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise damaged(path, error) from error
        card.pop("gate", None)
        return cls(
            name=card.pop("name"),
            fingerprint=card.pop("fingerprint"),
            fingerprint_bfloat16=card.pop("fingerprint_bfloat16", None),
            hook_point=card.pop("hook_point"),
            strengths=card.pop("strengths"),
            info=card,
            path=path,
            **parts,
        )

    def load_sae(self) -> SAE:
        """The whole SAE. Raises `ArtifactError` where the folder has none, or a damaged one."""
        if self.sae is None:
            if self.path is None or not (self.path / SAE_TENSORS).is_file():
                raise ArtifactError(f"artifact {self.name!r} carries no SAE; fit it again to get one")
            try:
                state = {k: v.float() for k, v in load_file(self.path / SAE_TENSORS).items()}
                n_state, n_latents = state["W_enc"].shape
                sae = SAE(SAEConfig(n_state, n_latents // n_state, int(self.info["sae"]["k"])))
                sae.load_state_dict(state)
            except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
                raise damaged(self.path, error) from error
            self.sae = sae
        return self.sae


def check_free(path: str | Path) -> None:
    """Raise `UsageError` where an artifact must not be saved: at anything but a new place, an empty folder or an
    artifact's folder without other files."""
    check_target(path, "artifact", _written)


def _written(card: dict[str, Any]) -> Collection[str]:
    ours = isinstance(card.get("schema"), int) and isinstance(card.get("fingerprint"), str)
    return (TENSORS, SAE_TENSORS) if ours else ()


def shipped_folder() -> Path:
    """Where the artifacts that come with the package lie."""
    from whisper_steer import steering_vectors

    return Path(steering_vectors.__path__[0])


def find(fingerprint: str) -> Path | None:
    """The shipped or cached artifact for an encoder, or None; passes over damaged ones and those of another schema.

    A cached one is loaded for that: whoever finds none can fit it again.
    """
    for root in (shipped_folder(), cache_folder("steering")):
        for folder in sorted(card.parent for card in root.glob(f"*/{CARD}")):
            try:
                card = read_card(folder)
                known = (card.get("fingerprint"), card.get("fingerprint_bfloat16"))
                if card.get("schema") == SCHEMA and fingerprint in known:
                    if root != shipped_folder():
                        Artifact.load(folder)
                    return folder
            except ArtifactError:
                continue
    return None


def clear_damaged(folder: Path) -> None:
    """Delete an artifact's own files in a folder of the cache, where its card cannot be read."""
    try:
        read_card(folder)
    except ArtifactError:
        for name in (CARD, TENSORS, SAE_TENSORS):
            (folder / name).unlink(missing_ok=True)


def resolve(name_or_path: str | Path) -> Path:
    """A folder as given, or the name of a shipped artifact."""
    for path in (
        Path(name_or_path),
        shipped_folder() / str(name_or_path),
        cache_folder("steering") / str(name_or_path),
    ):
        if (path / CARD).is_file():
            return path
    shipped = sorted(card.parent.name for card in shipped_folder().glob(f"*/{CARD}"))
    raise UsageError(
        f"no steering artifact at {name_or_path}; pass a folder with {CARD} or one of {', '.join(shipped)}"
    )


def _tensors(artifact: Artifact) -> dict[str, Tensor]:
    edits, gate = artifact.edits, artifact.gate
    tensors = {f"edits.latents.{name}": value for name, value in vars(edits.latents).items()}
    tensors |= {f"edits.{name}": value for name, value in vars(edits).items() if name != "latents"}
    tensors |= {f"gate.{name}": value for name, value in vars(gate).items() if isinstance(value, Tensor)}
    if gate.latents is not None:
        tensors |= {f"gate.latents.{name}": value for name, value in vars(gate.latents).items()}
    tensors |= {"speech_scores": artifact.speech_scores, "nonspeech_scores": artifact.nonspeech_scores}
    return {name: value.detach().float().contiguous().clone() for name, value in tensors.items()}


def _from_tensors(tensors: dict[str, Tensor]) -> dict[str, Any]:
    def part(prefix: str) -> dict[str, Tensor]:
        return {
            k[len(prefix) :]: v
            for k, v in tensors.items()
            if k.startswith(prefix) and "." not in k[len(prefix) :]
        }

    gate_latents = part("gate.latents.")
    return {
        "edits": Edits(latents=Latents(**part("edits.latents.")), **part("edits.")),
        "gate": Gate(**part("gate."), latents=Latents(**gate_latents) if gate_latents else None),
        "speech_scores": tensors["speech_scores"],
        "nonspeech_scores": tensors["nonspeech_scores"],
    }
