"""What `whisper-steer features` looks at: a steering artifact with its SAE, or an SAE alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from whisper_steer.errors import UsageError
from whisper_steer.files.card import CARD
from whisper_steer.lab.encoders import SpeechEncoder
from whisper_steer.pages.choose import names_in
from whisper_steer.sae import files
from whisper_steer.sae.model import SAE
from whisper_steer.steer.artifact import SAE_TENSORS, Artifact
from whisper_steer.steer.find import find, resolve


@dataclass
class Source:
    """An SAE, with where it belongs."""

    name: str
    path: Path
    """of the SAE's file or folder"""
    sae: SAE
    model: str
    point: str
    artifact: Artifact | None = None

    @property
    def n_latents(self) -> int:
        return self.sae.config.n_latents

    def check(self, encoder: SpeechEncoder) -> None:
        """Raise `UsageError` where the encoder has no such point or another width, `FingerprintError` where the
        artifact is of another."""
        if self.point not in encoder.points:
            raise UsageError(f"--point {self.point}: {self.model} has {', '.join(encoder.points)}")
        if self.sae.config.n_state != encoder.n_state:
            raise UsageError(
                f"{self.name} is of activations of width {self.sae.config.n_state}, {self.model} has "
                f"{encoder.n_state}: name the model that it was trained on with --model"
            )
        if self.artifact is not None:
            self.artifact.check(encoder.fingerprint)

    def names(self, encoder: SpeechEncoder) -> dict[int, str]:
        """Latent -> its name, of those that have one in the artifact, or else in the one that there is for the encoder.
        Raises `ArtifactError`."""
        path = find(encoder.fingerprint) if self.artifact is None else None
        artifact = Artifact.load(path) if path else self.artifact
        return {} if artifact is None else names_in(artifact, self.point, self.sae)


def opened(source: str, model: str | None, point: str | None) -> Source:
    """An artifact's folder or name, or an SAE's file or folder. Raises `UsageError`, `ArtifactError`."""
    path = Path(source)
    if path.exists() and not (path / CARD).is_file():
        if model is None or point is None:
            raise UsageError(f"{source} is an SAE alone: say where it belongs with --model and --point")
        return Source(path.name, path, files.load(path), model, point)
    artifact = Artifact.load(resolve(source))
    if point not in (None, artifact.hook_point):
        raise UsageError(
            f"the SAE of {artifact.name} lies at {artifact.hook_point}: leave --point out, or pass another SAE's file"
        )
    sae, folder = artifact.load_sae(), artifact.path or path
    return Source(
        artifact.name, folder / SAE_TENSORS, sae, model or artifact.name, artifact.hook_point, artifact
    )


__all__ = ["Source", "opened"]
