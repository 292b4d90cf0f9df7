"""Speech as it is heard in the world: in noise, quietly, in a room, over the phone, fast, slowly."""

from __future__ import annotations

import numpy as np
import soxr
from scipy import signal
from whisper.audio import SAMPLE_RATE

from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import FRAME_SAMPLES, SPEECH

CONDITIONS = {"as recorded": 0.30, "noise": 0.45, "quiet": 0.15, "band": 0.10}
"""shares of the speech for fitting"""


def draw_condition(rng: np.random.Generator) -> str:
    """One of `CONDITIONS`, by its share."""
    return str(rng.choice(list(CONDITIONS), p=list(CONDITIONS.values())))


def degraded(
    samples: np.ndarray,
    labels: np.ndarray,
    condition: str,
    noise: Clip | None,
    rng: np.random.Generator,
    faintest: float = -55,
) -> np.ndarray:
    """Speech in one of `CONDITIONS`; ``faintest`` is the lowest level in dB of a quiet one."""
    if condition == "noise" and noise is not None:
        background = looped(noise.samples(), len(samples), rng)
        return mix(samples, background, float(rng.uniform(-8, 20)), labels)
    if condition == "quiet":
        return np.asarray(samples * 10 ** (rng.uniform(faintest, -15) / 20))
    return band_limit(samples, rng) if condition == "band" else samples


def mix(speech: np.ndarray, noise: np.ndarray, snr: float, labels: np.ndarray | None = None) -> np.ndarray:
    """Speech + noise at an SNR in dB; powers are means over the noise, and over the speech frames of the speech."""
    voiced = speech
    if labels is not None and (labels == SPEECH).any():
        mask = np.repeat(labels == SPEECH, FRAME_SAMPLES)[: len(speech)]
        voiced = speech[: len(mask)][mask]
    power, noise_power = float(np.mean(voiced**2)), float(np.mean(noise**2))
    if power == 0 or noise_power == 0:
        return speech
    return (speech + noise * np.sqrt(power / noise_power / 10 ** (snr / 10))).astype(np.float32)


def band_limit(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A telephone-like band and a short synthetic room."""
    low, high = rng.uniform(80, 400), rng.uniform(2000, 3800)
    sections = signal.butter(4, [low, high], "bandpass", fs=SAMPLE_RATE, output="sos")
    decay = np.exp(
        -np.arange(int(rng.uniform(0.05, 0.4) * SAMPLE_RATE)) / (rng.uniform(0.01, 0.08) * SAMPLE_RATE)
    )
    room = rng.standard_normal(len(decay)) * decay * rng.uniform(0.02, 0.15)
    room[0] = 1.0
    return signal.fftconvolve(signal.sosfilt(sections, audio), room)[: len(audio)].astype(np.float32)


def phone_band(audio: np.ndarray) -> np.ndarray:
    """What a telephone leaves of it: 8 kHz, 300 to 3400 Hz, 8 bits of mu-law (ITU-T G.711)."""
    narrow = np.clip(soxr.resample(audio, SAMPLE_RATE, SAMPLE_RATE / 2), -1, 1)
    companded = np.round(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127) / 127
    heard = np.sign(companded) * (256 ** np.abs(companded) - 1) / 255
    sections = signal.butter(4, [300, 3400], "bandpass", fs=SAMPLE_RATE // 2, output="sos")
    wide = soxr.resample(signal.sosfilt(sections, heard), SAMPLE_RATE / 2, SAMPLE_RATE)[: len(audio)]
    return np.pad(wide, (0, len(audio) - len(wide))).astype(np.float32)


def at_speed(audio: np.ndarray, factor: float) -> np.ndarray:
    """Played so many times as fast; pitch goes with it."""
    return np.asarray(soxr.resample(audio, SAMPLE_RATE * factor, SAMPLE_RATE), np.float32)


def looped(samples: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Samples over and over from any place in them: (length,)."""
    return np.resize(np.roll(samples, int(rng.integers(max(1, len(samples))))), length)


def peak_safe(audio: np.ndarray) -> np.ndarray:
    """Scaled down where it passes full scale; float32."""
    return (audio / max(1.0, float(np.abs(audio).max()))).astype(np.float32)
