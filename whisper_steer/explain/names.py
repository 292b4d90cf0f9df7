"""Names of latents on disk: ``names.json`` and ``names.safetensors`` in an artifact's folder.

The JSON says which latent is called what, how precise that is and on how many clips it was seen; the tensors hold those
latents alone, so that neither the rest of the SAE nor another hook point's is needed to recognise what is heard.
An artifact works without them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from whisper_steer.errors import ArtifactError
from whisper_steer.explain.vote import Vote
from whisper_steer.files.card import damaged, read_json
from whisper_steer.files.disk import write_whole
from whisper_steer.sae.model import Latents
from whisper_steer.steer.artifact import NAMED_LATENTS, NAMES

SCHEMA = 1

Kind = Literal["sound", "speech", "word", "silence"]


@dataclass(frozen=True)
class Name:
    """What a latent is called."""

    latent: int
    """index in its SAE"""
    name: str
    kind: Kind
    precision: float
    """class-balanced, on clips that the name was not chosen by: see `whisper_steer.explain.precision`"""
    clips: int
    """clips of that name, of those, on which the latent fires"""


@dataclass
class Names:
    """The named latents of one SAE."""

    fingerprint: str
    """of the encoder"""
    point: str
    """where the SAE lies, see `whisper_steer.models.hooks`"""
    named: list[Name]
    latents: Latents
    """n of them, in the order of ``named``"""
    levels: Tensor
    """(n,) mean activation over half a second from which on a latent fires"""
    classes: list[tuple[str, ...]]
    """what was labelled, each with its names from narrow to wide"""
    vote: Vote
    """of the latents, on the classes"""
    info: dict[str, Any] = field(default_factory=dict)
    """free: data and command"""

    def save(self, folder: str | Path) -> None:
        """Write both files into an artifact's folder. Raises `OSError`."""
        folder = Path(folder)
        tensors = {f"latents.{k}": v.half() for k, v in self.latents.tensors().items()}
        tensors |= {"levels": self.levels} | {f"vote.{k}": v for k, v in vars(self.vote).items()}
        content = {
            "schema": SCHEMA,
            "fingerprint": self.fingerprint,
            "point": self.point,
            **self.info,
            "classes": self.classes,
            "latents": {
                str(n.latent): {k: v for k, v in asdict(n).items() if k != "latent"} for n in self.named
            },
        }
        write_whole(folder / NAMED_LATENTS, save({k: v.contiguous() for k, v in tensors.items()}))
        write_whole(folder / NAMES, json.dumps(content, indent=1) + "\n")

    @classmethod
    def load(cls, folder: str | Path | None, fingerprints: tuple[str | None, ...]) -> Names:
        """Read an artifact's names. ``fingerprints``: those of its encoder.

        Raises `ArtifactError` where there are none, or they are damaged, or another encoder's.
        """
        if folder is None or not (Path(folder) / NAMES).is_file():
            raise ArtifactError(
                f"no names of latents at {folder}; make them with: whisper-steer name-latents ARTIFACT --manifest FILE"
            )
        folder = Path(folder)
        try:
            content = read_json(folder / NAMES)
            if content.pop("schema") != SCHEMA:
                raise ValueError("another schema")
            tensors = {k: v.float() for k, v in load_file(folder / NAMED_LATENTS).items()}
            named = [Name(int(latent), **row) for latent, row in content.pop("latents").items()]
            classes = [tuple(map(str, names)) for names in content.pop("classes")]
            levels = tensors.pop("levels")
            vote = Vote(**{k: tensors.pop(f"vote.{k}") for k in ("typical", "weight", "bias")})
            latents = Latents(**{k.removeprefix("latents."): v for k, v in tensors.items()})
            shapes = (
                levels.shape,
                vote.typical.shape,
                vote.weight.shape[1:],
                latents.bias.shape,
                latents.weight.shape[1:],
                latents.directions.shape[:1],
            )
            if set(shapes) != {torch.Size([len(named)])} or len(vote.weight) != len(classes):
                raise ValueError("names, latents and classes do not go together")
            fingerprint, point = content.pop("fingerprint"), content.pop("point")
            found = cls(fingerprint, point, named, latents, levels, classes, vote, content)
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise damaged(folder, error) from error
        if found.fingerprint not in fingerprints:
            raise ArtifactError(
                f"{folder / NAMES} is for another encoder; make it again with: whisper-steer name-latents"
            )
        return found


__all__ = ["NAMED_LATENTS", "NAMES", "Kind", "Name", "Names"]
