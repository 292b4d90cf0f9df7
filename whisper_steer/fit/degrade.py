"""Speech as it is heard in the world: in noise, quietly, through a narrow band in a room, over a telephone, sped up."""

from __future__ import annotations

import numpy as np
import soxr
from scipy import signal
from whisper.audio import SAMPLE_RATE

from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import FRAME_SAMPLES, SPEECH

CONDITIONS = {"as recorded": 0.30, "noise": 0.45, "quiet": 0.15, "band": 0.10}
"""shares of the speech for fitting"""
PHONE_RATE = 8000
PHONE_BAND = (300.0, 3400.0)
"""Hz"""
MU = 255
"""of the telephone's mu-law, 8 bits"""


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


def distant(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Samples (n,) from the other end of a room: reverberant, faint, over the hiss of a microphone.

    Reverberation as exponentially decaying noise (Polack 1988) that falls by 60 dB in 0.3 to 0.8 s and is up to 6 dB
    stronger than the direct sound; 15 to 35 dB quieter; hiss 15 to 25 dB below the speech.
    """
    seconds = rng.uniform(0.3, 0.8)
    time = np.arange(1, round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    room = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    room *= np.sqrt(10 ** (rng.uniform(0, 6) / 10) / np.sum(room**2))
    heard = signal.fftconvolve(audio, np.concatenate([[1.0], room]))[: len(audio)]
    power = float(np.mean(heard**2)) / 10 ** (rng.uniform(15, 25) / 10)
    hiss = rng.standard_normal(len(audio)) * np.sqrt(power)
    return np.asarray((heard + hiss) * 10 ** (rng.uniform(-35, -15) / 20), np.float32)


def phone_band(samples: np.ndarray) -> np.ndarray:
    """Samples (n,) as a telephone carries them: 8 kHz, 300 to 3400 Hz, mu-law of 8 bits; (n,) at 16 kHz again."""
    narrow = soxr.resample(samples, SAMPLE_RATE, PHONE_RATE)
    sections = signal.butter(4, PHONE_BAND, "bandpass", fs=PHONE_RATE, output="sos")
    narrow = np.clip(signal.sosfilt(sections, narrow), -1, 1)
    coded = np.round((np.sign(narrow) * np.log1p(MU * np.abs(narrow)) / np.log1p(MU) + 1) / 2 * MU)
    level = 2 * coded / MU - 1
    carried = np.sign(level) * np.expm1(np.abs(level) * np.log1p(MU)) / MU
    wide = soxr.resample(carried, PHONE_RATE, SAMPLE_RATE)[: len(samples)]
    return np.pad(wide, (0, len(samples) - len(wide))).astype(np.float32)


def at_speed(samples: np.ndarray, factor: float) -> np.ndarray:
    """Samples (n,) played ``factor`` times as fast, pitch and all: (n / factor,)."""
    return np.asarray(soxr.resample(samples, SAMPLE_RATE * factor, SAMPLE_RATE), np.float32)


def looped(samples: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Samples over and over from any place in them: (length,)."""
    return np.resize(np.roll(samples, int(rng.integers(max(1, len(samples))))), length)


def peak_safe(audio: np.ndarray) -> np.ndarray:
    """Scaled down where it passes full scale; float32."""
    return (audio / max(1.0, float(np.abs(audio).max()))).astype(np.float32)
