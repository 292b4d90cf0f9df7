"""A steering artifact on disk: a folder with ``card.json``, ``steering.safetensors`` and ``sae.safetensors``.

The card says what the artifact is and where it comes from; `steering.safetensors` holds the few latents, the gate
and the calibration scores that a run needs; `sae.safetensors` the whole SAE, read only on request. No pickle.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from whisper_steer.errors import ArtifactError, FingerprintError
from whisper_steer.files.card import CARD, damaged, read_card
from whisper_steer.files.replace import check_target, replacing
from whisper_steer.gate.kinds import KINDS, Gate, Linear
from whisper_steer.sae.formats import own
from whisper_steer.sae.model import SAE, Latents
from whisper_steer.steer.methods import Edits
from whisper_steer.steer.silence import Condition, Silence
from whisper_steer.steer.validation import check_card, check_tensors

SCHEMA = 4
TENSORS, SAE_TENSORS = "steering.safetensors", "sae.safetensors"
NAMES, NAMED_LATENTS = "names.json", "names.safetensors"
"""names of latents, see `whisper_steer.explain.names`; saving an artifact anew leaves none"""
RISK, RISK_WEIGHTS = "risk.json", "risk.safetensors"
"""the risk of a segment, see `whisper_steer.risk.probe`; likewise"""
KEPT = (SAE_TENSORS, NAMES, NAMED_LATENTS, RISK, RISK_WEIGHTS)
FILES = (CARD, TENSORS, *KEPT)
"""all that an artifact's folder may hold, the first two at least"""


@dataclass
class Calibration:
    """What the threshold is chosen by, from clips that nothing was fitted on."""

    curve: Tensor
    """(points, 2) of thresholds and the mean share of an utterance left out there, see `gate.conformal.loss_curve`"""
    utterances: int
    """behind the curve"""
    nonspeech: Tensor
    """(m,) the strongest evidence in each clip without speech"""


@dataclass
class Artifact:
    """Everything fitted for one encoder at one hook point."""

    name: str
    fingerprint: str
    """of the encoder it was fitted on, see `whisper_steer.encoders.fingerprint.encoder_fingerprint`"""
    fingerprint_bfloat16: str | None = field(default=None, kw_only=True)
    """of the same encoder in bfloat16; artifacts of earlier versions do not know it"""
    hook_point: str
    """where activations are edited, see `whisper_steer.models.hooks`"""
    gate_point: str
    """where the gate reads them; not behind ``hook_point``"""
    edits: Edits
    gate: Gate
    calibration: Calibration
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

    def save(self, path: str | Path, keep: Path | None = None) -> Path:
        """Write the folder; it appears whole or not at all.

        ``keep``: the folder of an artifact of the same edits, whose SAE, names and risk go along. Raises `UsageError`
        as `check_free`, `ArtifactError` where it could not be loaded again.
        """
        path = Path(path)
        try:
            check_card(self.card())
            check_tensors(self.edits, self.gate, self.calibration.curve, self.calibration.nonspeech)
        except ValueError as error:
            raise ArtifactError(f"{self.name!r} cannot be saved: {error}; fit it again") from error
        with replacing(path, "artifact", written_beside) as folder:
            for name in KEPT:
                if keep is not None and (keep / name).is_file():
                    shutil.copyfile(keep / name, folder / name)
            (folder / TENSORS).write_bytes(save(_tensors(self)))
            if self.sae is not None:
                (folder / SAE_TENSORS).write_bytes(own.content(self.sae, half=True))
            (folder / CARD).write_text(json.dumps(self.card(), indent=2) + "\n", encoding="utf-8")
        self.path = path
        return path

    def digest(self) -> str:
        """12 hex digits of all that steers: weights, calibration, hook point, strengths, not of the rest."""
        settings = json.dumps(
            [
                self.fingerprint,
                self.hook_point,
                self.gate_point,
                self.calibration.utterances,
                self.strengths,
            ],
            sort_keys=True,
        )
        return hashlib.sha256(save(_tensors(self)) + settings.encode()).hexdigest()[:12]

    def card(self) -> dict[str, Any]:
        """The JSON card."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "fingerprint_bfloat16": self.fingerprint_bfloat16,
            "hook_point": self.hook_point,
            "gate_point": self.gate_point,
            "gate": {
                "kind": self.gate.kind,
                "calibration_utterances": self.calibration.utterances,
                "calibration_nonspeech": len(self.calibration.nonspeech),
            },
            "strengths": self.strengths,
            **self.info,
        }

    @classmethod
    def load(cls, path: str | Path) -> Artifact:
        """Read a folder. Raises `ArtifactError` where a part is missing, damaged or of another schema.

        So it does where a value is not finite, or shapes do not go together: see `whisper_steer.steer.validation`.
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
            tensors = load_file(path / TENSORS)
            edits, gate = _parts_of(tensors, card["gate"]["kind"])
            calibration = Calibration(
                tensors["calibration.curve"],
                card.pop("gate")["calibration_utterances"],
                tensors["calibration.nonspeech"],
            )
            check_tensors(edits, gate, calibration.curve, calibration.nonspeech)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise damaged(path, error) from error
        return cls(
            name=card.pop("name"),
            fingerprint=card.pop("fingerprint"),
            fingerprint_bfloat16=card.pop("fingerprint_bfloat16", None),
            hook_point=card.pop("hook_point"),
            gate_point=card.pop("gate_point"),
            edits=edits,
            gate=gate,
            calibration=calibration,
            strengths=card.pop("strengths"),
            info=card,
            path=path,
        )

    def load_sae(self) -> SAE:
        """The whole SAE. Raises `ArtifactError` where the folder has none, or a damaged one."""
        if self.sae is None:
            if self.path is None or not (self.path / SAE_TENSORS).is_file():
                raise ArtifactError(f"artifact {self.name!r} carries no SAE; fit it again to get one")
            self.sae = read_sae(self.path / SAE_TENSORS, int(self.info.get("sae", {}).get("k", 0)))
        return self.sae


def read_sae(path: Path, k: int = 50) -> SAE:
    """An SAE from a file of our own format; ``k`` is that of one whose file does not say it. Raises `ArtifactError`."""
    return own.read(path, k)


def check_free(path: str | Path) -> None:
    """Raise `UsageError` where an artifact must not be saved: at anything but a new place, an empty folder or an
    artifact's folder without other files."""
    check_target(path, "artifact", written_beside)


def written_beside(card: dict[str, Any]) -> Collection[str]:
    """The files that may lie beside a card, where it is one of an artifact's."""
    ours = isinstance(card.get("schema"), int) and isinstance(card.get("fingerprint"), str)
    return FILES[1:] if ours else ()


def _tensors(artifact: Artifact) -> dict[str, Tensor]:
    edits, gate = artifact.edits, artifact.gate
    tensors = flat("edits", edits)
    tensors |= {f"gate.{name}": value for name, value in vars(gate).items() if isinstance(value, Tensor)}
    if isinstance(gate, Linear) and gate.latents is not None:
        tensors |= {f"gate.latents.{name}": value for name, value in gate.latents.tensors().items()}
    tensors |= {
        "calibration.curve": artifact.calibration.curve,
        "calibration.nonspeech": artifact.calibration.nonspeech,
    }
    return {name: value.detach().float().contiguous().clone() for name, value in tensors.items()}


def _parts_of(tensors: dict[str, Tensor], kind: str) -> tuple[Edits, Gate]:
    gate: dict[str, Any] = part(tensors, "gate.")
    if latents := part(tensors, "gate.latents."):
        gate["latents"] = Latents(**latents)
    return edits_from(tensors), KINDS[kind](**gate)


def edits_from(tensors: Mapping[str, Tensor]) -> Edits:
    """What `flat` made of edits. Raises `TypeError` where some are missing."""
    told = Latents(**part(tensors, "edits.silence.condition.latents."))
    condition = Condition(told, **part(tensors, "edits.silence.condition."))
    moved = Latents(**part(tensors, "edits.silence.latents."))
    silence = Silence(moved, condition=condition, **part(tensors, "edits.silence."))
    return Edits(Latents(**part(tensors, "edits.latents.")), silence=silence, **part(tensors, "edits."))


def flat(name: str, parts: Edits | Silence | Condition | Latents) -> dict[str, Tensor]:
    """The tensors of nested parts under dotted names."""
    found: dict[str, Tensor] = {}
    for key, value in (parts.tensors() if isinstance(parts, Latents) else vars(parts)).items():
        found |= {f"{name}.{key}": value} if isinstance(value, Tensor) else flat(f"{name}.{key}", value)
    return found


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those right under a dotted name."""
    return {
        k[len(prefix) :]: v
        for k, v in tensors.items()
        if k.startswith(prefix) and "." not in k[len(prefix) :]
    }
