"""Which of the encoder's frames carry speech: Silero VAD's verdict on the clean clip, and the level of short words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from whisper.audio import N_SAMPLES, SAMPLE_RATE

from whisper_steer.data.clips import Kind

FRAMES = 1500
FRAME_SAMPLES = N_SAMPLES // FRAMES
SPEECH, NONSPEECH, UNKNOWN = 1, 0, -1
SHORT_CLIP = 2 * SAMPLE_RATE
UNKNOWN_MARGIN = 10
"""frames next to speech that are labelled neither way: the encoder looks around"""


@dataclass
class Window:
    """``samples`` (480000,) float32; ``labels`` (1500,) int8: SPEECH, NONSPEECH or UNKNOWN; ``content`` frames."""

    samples: np.ndarray
    labels: np.ndarray
    kind: Kind
    condition: str
    content: int
    """frames up to the end of the audio; the rest is padding"""


def spoken_frames(clip: np.ndarray) -> np.ndarray:
    """Frames of speech in a clip that is known to hold some: (n,) bool.

    Silero misses isolated words that are cut tight. Of a clip under 2 s, of which it finds less than half of the
    loud frames, those within 25 dB of the loudest count.
    """
    found = speech_frames(clip)
    if len(clip) >= SHORT_CLIP:
        return found
    power = np.square(np.pad(clip, (0, -len(clip) % FRAME_SAMPLES))).reshape(-1, FRAME_SAMPLES).mean(axis=1)
    loud = (power > power.max() * 10 ** (-25 / 10)) & (power > 0)
    return loud if loud.any() and found[loud].mean() < 0.5 else found


def speech_frames(samples: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Silero VAD's verdict per encoder frame of 20 ms: (n,) bool. Its own step is 32 ms."""
    lead = SAMPLE_RATE // 2
    padded = np.concatenate([np.zeros(lead, np.float32), samples, np.zeros(lead, np.float32)])
    padded = np.pad(padded, (0, -len(padded) % 512))
    peak = float(np.abs(padded).max()) or 1.0
    probability = silero_probabilities(padded * np.float32(0.5 / peak))
    centres = (np.arange(frame_count(len(samples))) + 0.5) * FRAME_SAMPLES + lead
    return np.asarray(probability[np.minimum(centres // 512, len(probability) - 1).astype(int)] >= threshold)


def mark(labels: np.ndarray, speech: np.ndarray, start: int) -> None:
    """Write a clip's frames of speech (n,) bool into its window's labels, from frame ``start`` on."""
    speech = speech[: FRAMES - start]
    near = ndimage.binary_dilation(speech, iterations=UNKNOWN_MARGIN)
    part = labels[start : start + len(speech)]
    part[near & (part != SPEECH)] = UNKNOWN
    part[speech] = SPEECH


def frame_count(n_samples: int) -> int:
    """Frames that samples reach into, at most a window's."""
    return min(FRAMES, -(-n_samples // FRAME_SAMPLES))


def silero_probabilities(samples: np.ndarray) -> np.ndarray:
    """Silero VAD's probability of speech in each 32 ms of samples (n,) float32; (n / 512 rounded up,)."""
    found = silero_model().audio_forward(torch.from_numpy(samples)[None], SAMPLE_RATE)
    return np.asarray(found[0].numpy())


@lru_cache(maxsize=1)
def silero_model() -> Any:
    """Silero VAD of the package silero-vad, by onnxruntime where it is installed: twice as fast, the same figures."""
    from silero_vad import load_silero_vad

    return load_silero_vad(onnx=find_spec("onnxruntime") is not None)
