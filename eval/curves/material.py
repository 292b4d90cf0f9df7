"""What methods and baselines act with at one hook point, fitted on the `fit` split, and its file.

Fitting needs no GPU: latents are scored and selected as `whisper-steer fit` does, dense directions come from the same
activations. A frame of audio carries speech if its clip does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Audio, Clip
from whisper_steer.data.labels import FRAMES, NONSPEECH, SPEECH, spoken_frames
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.encoders.record import Activations
from whisper_steer.errors import ArtifactError
from whisper_steer.files.output import moved_into
from whisper_steer.fit.degrade import CONDITIONS, degraded
from whisper_steer.fit.listening import hard_speech
from whisper_steer.fit.scoring import latent_scores
from whisper_steer.fit.selection import EDIT_LATENTS, build_edits, edit_latents
from whisper_steer.fit.silence import fit_silence
from whisper_steer.sae.model import SAE, SAEConfig
from whisper_steer.steer.artifact import edits_from, flat, part
from whisper_steer.steer.methods import Edits

COMPONENTS = 3
PAIRS = 20_000
EFFECT_WINDOWS = 60
HARD = 30
"""utterances in each hard condition"""


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
        tensors |= flat("edits", self.edits)
        tensors["components"] = self.components
        about = {"point": self.point, "control": self.control, "sae": json.dumps(asdict(self.sae.config))}
        with moved_into(path.parent) as scratch:
            save_file({k: v.detach().contiguous() for k, v in tensors.items()}, scratch / path.name, about)

    @classmethod
    def load(cls, path: Path) -> Material:
        """Raises `ArtifactError` where the file is missing or no such file."""
        try:
            with safe_open(path, "pt") as file:
                about = file.metadata()
            tensors = load_file(path)
            config = SAEConfig(**json.loads(about["sae"]))
            state = part(tensors, "sae.")
            sae = SAE.of(state, config.k, config.activation, config.frame_norm)
            edits = edits_from(tensors)
            return cls(about["point"], edits, sae, tensors["components"], about["control"])
        except (OSError, SafetensorError, KeyError, TypeError, RuntimeError) as error:
            raise ArtifactError(f"{path} holds nothing to edit with ({error}); make it with fit") from error


@dataclass
class Heard:
    """Activations at one hook point of what a material is fitted on, and its condition calibrated on."""

    fit: Activations
    """clean clips of both kinds"""
    degraded: Activations
    """the speech of ``fit`` in noise, quiet, through a narrow band"""
    clean: Activations
    """speech of the split `choose`"""
    hard: Activations
    """the same as in `whisper_steer.fit.listening.hard_speech`"""


def hear(model: Whisper, point: str, fit: Sequence[Clip], choose: Sequence[Clip]) -> Heard:
    """Run the encoder over clips of the splits `fit` and `choose`."""
    spoken, other = (_of(fit, kind) for kind in ("speech", "nonspeech"))
    held, held_other = (_of(choose, kind) for kind in ("speech", "nonspeech"))
    hard = hard_speech(held, held_other, HARD, seed=0)
    parts = (fit, degraded_speech(spoken, other), held, hard)
    return Heard(*(clip_activations(model, point, part) for part in parts))


def degraded_speech(speech: Sequence[Clip], nonspeech: Sequence[Clip], seed: int = 0) -> list[Clip]:
    """Each utterance in a condition of `whisper_steer.fit.degrade` other than as it was recorded."""
    rng, made = np.random.default_rng(seed), []
    shares = {name: share for name, share in CONDITIONS.items() if name != "as recorded"}
    for clip in speech:
        condition = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
        noise = nonspeech[int(rng.integers(len(nonspeech)))]
        made.append(
            clip.derived(condition, partial(_degraded, clip, condition, noise, int(rng.integers(2**31))))
        )
    return made


def _degraded(clip: Clip, condition: str, noise: Clip, seed: int) -> Audio:
    samples = clip.samples()
    labels = np.where(spoken_frames(samples), SPEECH, NONSPEECH)
    found = degraded(samples, labels, condition, noise, np.random.default_rng(seed))
    return np.asarray(found, np.float32)


def fit_edits(model: Whisper, sae: SAE, heard: Heard, point: str) -> Edits:
    """Latents scored and selected as `whisper-steer fit` does."""
    scores = latent_scores(model, point, sae, heard.fit, EFFECT_WINDOWS)
    silence, _ = fit_silence(model, point, sae, heard.fit, heard.clean, heard.hard, heard.degraded)
    return build_edits(sae, scores, heard.fit, edit_latents(scores, EDIT_LATENTS), silence)


def material_of(sae: SAE, activations: Activations, point: str, edits: Edits, control: str = "") -> Material:
    """With dense directions from activations at ``point``."""
    components = principal_components(activations, edits.mean_difference)
    return Material(point, edits, sae, components, control)


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
    for windows in (~activations.speech, activations.speech):
        rows = np.argwhere(windows[:, None] & activations.heard)
        rows = rows[rng.integers(len(rows), size=PAIRS)]
        parts.append(activations.gather(rows))
    pairs = parts[0] - parts[1]
    _, vectors = torch.linalg.eigh(pairs.T @ pairs)
    found = vectors.flip(1)[:, :COMPONENTS].T.contiguous()
    return torch.where(found @ difference < 0, -1.0, 1.0)[:, None] * found


def _of(clips: Sequence[Clip], kind: str) -> list[Clip]:
    return [clip for clip in clips if clip.kind == kind]
