"""From clips, an encoder and an SAE to the pages of its latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import FRAMES
from whisper_steer.errors import DataError, WhisperSteerError
from whisper_steer.lab.encoders import SpeechEncoder
from whisper_steer.lab.frames import Frames, frames_of
from whisper_steer.pages.clamp import Clamping
from whisper_steer.pages.moments import by_clip, moments
from whisper_steer.pages.numbers import (
    Numbers,
    activity,
    domain_of,
    frame_domains,
    frequency,
    numbers,
    spoken,
)
from whisper_steer.pages.write import Extras, moment_of, write_index, write_latent
from whisper_steer.sae.model import SAE

EFFECT_CLIPS = 24
"""without speech, on which the effect on the decoder is measured"""
LABELS = 8
"""labels that the page of a latent has"""

Tell = Callable[[str], None]


@dataclass
class Listened:
    """Clips that were heard by an encoder and an SAE."""

    frames: Frames
    z: Any
    """sparse (n, n_latents), by columns"""
    labels: np.ndarray
    """(n,) as by `whisper_steer.pages.numbers.spoken`"""
    domains: np.ndarray
    """(n,) as by `whisper_steer.pages.numbers.frame_domains`"""
    numbers: Numbers = field(init=False)

    def __post_init__(self) -> None:
        self.numbers = numbers(self.z, self.labels, self.domains)


def listen(encoder: SpeechEncoder, point: str, sae: SAE, clips: Sequence[Clip], tell: Tell) -> Listened:
    """Run clips through encoder and SAE; one that cannot be read is told and left out. Raises `DataError` where none
    is left, or there was none."""
    heard: list[Clip] = []
    spoken_in: list[np.ndarray] = []
    for clip in tqdm(clips, desc="speech in clips", unit="clip"):
        try:
            samples = clip.samples()
        except (WhisperSteerError, OSError) as error:
            tell(f"Skipping {clip.id or clip.group}: {str(error).splitlines()[0]}")
            continue
        spoken_in.append(spoken(clip, samples, FRAMES))
        heard.append(clip)
    if clips and not heard:
        raise DataError("none of the clips can be read: check the paths of --data")
    frames = frames_of(encoder, [point], heard)[point]
    counts = np.bincount(frames.clip, minlength=len(heard))
    labels = np.concatenate([spoken_in[i][:n] for i, n in enumerate(counts)])
    return Listened(frames, activity(sae, frames), labels, frame_domains(heard, frames.clip, labels))


def effect_clips(clips: Sequence[Clip]) -> list[Clip]:
    """Those on which the effect on the decoder is measured."""
    return [c for c in clips if c.kind == "nonspeech" and not c.voice][:EFFECT_CLIPS]


def most_effective(shown: Sequence[int], effect: np.ndarray, n: int) -> list[int]:
    """Of the latents shown, the n with the strongest effect on the decoder."""
    return sorted(shown, key=lambda j: -abs(float(effect[j])))[:n]


def texts_of(
    clamping: Clamping, listened: Listened, latents: Sequence[int]
) -> dict[int, list[dict[str, Any]]]:
    """What clamping each latent does to the text of the clip with speech and of the clip without in which it is
    strongest."""
    clips = listened.frames.clips
    found: dict[int, list[dict[str, Any]]] = {}
    for j in tqdm(latents, desc="texts", unit="latent"):
        found[j] = []
        for kind in ("speech", "nonspeech"):
            among = np.array([c.kind == kind for c in clips])
            for moment in moments(listened.z, listened.frames, j, 1, among):
                clip = clips[moment.clip]
                texts = clamping.texts(clip, j, float(listened.numbers.high[j]))
                found[j].append(_named(clip) | texts.to_dict())
    return found


def write_pages(
    folder: Path,
    about: Mapping[str, Any],
    listened: Listened,
    extras: Extras,
    shown: Sequence[int],
    most_moments: int,
    texts: Mapping[int, Sequence[Mapping[str, Any]]],
) -> None:
    """All files into an empty folder."""
    clips = listened.frames.clips
    found = {j: moments(listened.z, listened.frames, j, most_moments) for j in shown}
    filled: dict[int, list[Any]] = {j: [None] * len(several) for j, several in found.items()}
    for index, several in tqdm(list(by_clip(found)), desc="moments", unit="clip"):
        samples = clips[index].samples()
        for latent, rank, moment in several:
            filled[latent][rank] = moment_of(clips[index], samples, moment)
    labels = [c.dataset if c.kind == "speech" else c.label or c.dataset for c in clips]
    names = sorted(set(labels))
    group = np.array([names.index(label) for label in labels])[listened.frames.clip]
    shares = frequency(listened.z, group, len(names))
    for j in shown:
        order = np.argsort(-shares[:, j], kind="stable")[:LABELS]
        often = [[names[k], round(float(shares[k, j]), 4)] for k in order if shares[k, j] > 0]
        write_latent(folder, j, {"moments": filled[j], "labels": often, "texts": list(texts.get(j, ()))})
    write_index(folder, about, listened.numbers, extras, shown)


def _named(clip: Clip) -> dict[str, Any]:
    return {
        "clip": clip.id or clip.group,
        "kind": clip.kind,
        "label": clip.label or "",
        "said": clip.text or "",
    }


def counted(clips: Sequence[Clip]) -> str:
    """How many clips there are of each domain, in words."""
    domains = [domain_of(clip) or "with voices beside other sound" for clip in clips]
    parts = [f"{domains.count(name)} {name}" for name in sorted(set(domains))]
    return f"{len(clips)} ({', '.join(parts)})"


__all__ = ["Listened", "counted", "effect_clips", "listen", "most_effective", "texts_of", "write_pages"]
