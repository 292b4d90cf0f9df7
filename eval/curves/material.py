"""What methods and baselines act with at one hook point, fitted on the `fit` split, and its file.

Fitting needs no GPU: latents are scored and selected as `whisper-steer fit` does, dense directions come from the same
activations. A frame of audio carries speech if its clip does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import FRAMES, NONSPEECH, SPEECH
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.encoders.record import Activations
from whisper_steer.errors import ArtifactError
from whisper_steer.files.output import moved_into
from whisper_steer.fit.scoring import latent_scores
from whisper_steer.fit.selection import EDIT_LATENTS, build_edits, edit_latents
from whisper_steer.sae.model import SAE, Latents
from whisper_steer.steer.methods import Edits

COMPONENTS = 3
PAIRS = 20_000
EFFECT_WINDOWS = 60


@dataclass
class Material:
    """What every method and baseline acts with at one hook point."""

    point: str
    edits: Edits
    sae: SAE
    components: Tensor
    """(COMPONENTS, n_state) of norm 1, from `principal_components`"""
    control: str = ""
    """of what control the SAE is, "soft-frozen" for instance; "" where it is none"""

    def to(self, device: torch.device) -> Material:
        """On a device; the SAE itself moves."""
        edits, components = self.edits.to(device), self.components.to(device)
        return Material(self.point, edits, self.sae.to(device), components, self.control)

    def save(self, path: Path) -> None:
        """One safetensors file, whole or not at all. Raises `OSError`."""
        tensors = {f"sae.{name}": value for name, value in self.sae.state_dict().items()}
        tensors |= {f"latents.{name}": value for name, value in vars(self.edits.latents).items()}
        tensors |= {f"edits.{k}": v for k, v in vars(self.edits).items() if k != "latents"}
        tensors["components"] = self.components
        about = {"point": self.point, "control": self.control, "k": str(self.sae.config.k)}
        with moved_into(path.parent) as scratch:
            save_file({k: v.detach().contiguous() for k, v in tensors.items()}, scratch / path.name, about)

    @classmethod
    def load(cls, path: Path) -> Material:
        """Raises `ArtifactError` where the file is missing or no such file."""
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata()
            tensors = load_file(path)
            latents = Latents(**_part(tensors, "latents"))
            edits = Edits(latents=latents, **_part(tensors, "edits"))
            sae = SAE.of(_part(tensors, "sae"), int(about["k"]))
            return cls(about["point"], edits, sae, tensors["components"], about["control"])
        except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
            raise ArtifactError(f"{path} holds nothing to edit with ({error}); make it with fit") from error


def fit_material(
    model: Whisper,
    sae: SAE,
    activations: Activations,
    point: str,
    edits: Edits | None = None,
    control: str = "",
) -> Material:
    """From activations at ``point``. ``edits``: an artifact's own, in place of latents scored and selected here."""
    if edits is None:
        scores = latent_scores(model, point, sae, activations, EFFECT_WINDOWS)
        edits = build_edits(sae, scores, activations, edit_latents(scores, EDIT_LATENTS))
    return Material(point, edits, sae, principal_components(activations, edits.mean_difference), control)


@torch.no_grad()
def clip_activations(model: Whisper, point: str, clips: Sequence[Clip]) -> Activations:
    """Activations of each clip's first window, in memory."""
    prefix, n = Prefix(model.encoder, point), len(clips)
    hidden = np.empty((n, FRAMES, model.dims.n_audio_state), np.float16)
    labels, content = np.empty((n, FRAMES), np.int8), np.empty(n, np.int64)
    for i, clip in enumerate(tqdm(clips, desc=f"encoder, {point}", unit="clip")):
        mel = window_mel(clip.samples(), model.dims.n_mels)
        hidden[i] = prefix(mel[None])[0].half().cpu().numpy()
        labels[i] = SPEECH if clip.kind == "speech" else NONSPEECH
        content[i] = min(FRAMES, max(1, round(clip.seconds * 50)))
    speech = np.array([clip.kind == "speech" for clip in clips])
    return Activations(hidden, labels, content, speech, ["clean"] * n)


def principal_components(activations: Activations, difference: Tensor, seed: int = 0) -> Tensor:
    """The first COMPONENTS principal components, (n, n_state), of differences between frames of non-speech and of
    speech paired at random, about 0 (arXiv 2310.01405), each turned to the side of the mean ``difference``."""
    rng, parts = np.random.default_rng(seed), []
    heard = np.arange(FRAMES) < activations.content[:, None]
    for windows in (~activations.speech, activations.speech):
        rows = np.argwhere(windows[:, None] & heard)
        rows = rows[rng.integers(len(rows), size=PAIRS)]
        parts.append(torch.from_numpy(activations.hidden[rows[:, 0], rows[:, 1]]).float())
    pairs = parts[0] - parts[1]
    _, vectors = torch.linalg.eigh(pairs.T @ pairs)
    found = vectors.flip(1)[:, :COMPONENTS].T.contiguous()
    return torch.where(found @ difference < 0, -1.0, 1.0)[:, None] * found


def _part(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")}
