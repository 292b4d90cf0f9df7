"""The strongest moments of a latent, as sound that can be played, a spectrogram, and the activation over time."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
from PIL import Image
from whisper.audio import N_FFT, SAMPLE_RATE

from whisper_steer.audio.spectrogram import log_mel_spectrogram
from whisper_steer.data.clips import Audio
from whisper_steer.lab.encoders import FRAME_SAMPLES
from whisper_steer.lab.frames import Frames

SECONDS = 2.0
"""of a snippet"""
FRAMES = int(SECONDS * SAMPLE_RATE) // FRAME_SAMPLES
SCALE = 2.0
"""log-mel from dark to bright: what the spectrogram keeps below its loudest place"""


@dataclass(frozen=True)
class Moment:
    """Where a latent is strongest in a clip, and what is shown around it."""

    clip: int
    """by its place in `Frames.clips`"""
    frame: int
    """the strongest, counted in the clip"""
    value: float
    first: int
    """first frame of the snippet"""
    curve: np.ndarray
    """(frames of the snippet,) float32 activation"""


def moments(z: Any, frames: Frames, latent: int, most: int, among: np.ndarray | None = None) -> list[Moment]:
    """The strongest moment of each of the clips in which a latent is strongest, at most ``most``, the strongest first.

    ``z``: sparse (n, n_latents), by columns; ``among``: (clips,) bool, the clips that count, None for all.
    """
    part = slice(z.indptr[latent], z.indptr[latent + 1])
    index, values = z.indices[part], z.data[part]
    if among is not None:
        keep = among[frames.clip[index]]
        index, values = index[keep], values[keep]
    order = np.lexsort((index, -values))
    clips, places = np.unique(frames.clip[index[order]], return_index=True)
    found = []
    for k in np.argsort(places)[:most]:
        top = int(index[order[places[k]]])
        start, end = np.searchsorted(frames.clip, [clips[k], clips[k] + 1])
        first = int(np.clip(top - FRAMES // 2, start, max(start, end - FRAMES)))
        last = min(first + FRAMES, int(end))
        curve = z[first:last, latent].toarray()[:, 0]
        found.append(
            Moment(int(clips[k]), top - int(start), float(z[top, latent]), first - int(start), curve)
        )
    return found


def snippet(samples: Audio, moment: Moment) -> Audio:
    """The samples of a moment, from a clip's: (n,) at 16 kHz, about `SECONDS`."""
    first = moment.first * FRAME_SAMPLES
    return samples[first : first + len(moment.curve) * FRAME_SAMPLES]


def mp3(samples: Audio) -> bytes:
    """An MP3, which every browser plays, also from a data address; it decodes to as many samples."""
    out = io.BytesIO()
    soundfile.write(out, np.clip(samples, -1, 1), SAMPLE_RATE, format="MP3")
    return out.getvalue()


def spectrogram(samples: Audio) -> bytes:
    """A WebP of the log-mel spectrogram, a pixel for a band and for 10 ms."""
    import matplotlib

    padded = np.pad(samples, (0, max(0, N_FFT - len(samples))))
    mel = log_mel_spectrogram(padded).numpy()
    shade = (mel - mel.max()) / SCALE + 1
    pixels = matplotlib.colormaps["magma"](np.clip(shade[::-1], 0, 1), bytes=True)[..., :3]
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(out, "WEBP", quality=60)
    return out.getvalue()


def by_clip(found: Mapping[int, Sequence[Moment]]) -> Iterator[tuple[int, list[tuple[int, int, Moment]]]]:
    """Moments of latents by clip, so that each is read once: (clip, [(latent, rank, moment)])."""
    sorted_in: dict[int, list[tuple[int, int, Moment]]] = {}
    for latent, several in found.items():
        for rank, moment in enumerate(several):
            sorted_in.setdefault(moment.clip, []).append((latent, rank, moment))
    yield from sorted(sorted_in.items())


__all__ = ["FRAMES", "Moment", "by_clip", "moments", "mp3", "snippet", "spectrogram"]
