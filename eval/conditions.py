"""Harder versions of the clean clips: speech in noise and music, quiet speech; and recordings with pauses made of them.

A condition is written ``snr:0`` (noise from the run's non-speech clips, at 0 dB), ``music:5``, ``quiet:-30`` (dB),
``recordings:pauses`` (a style of `whisper_steer.data.recordings.STYLES`) or ``recordings:pauses:24`` (so many of them);
``snr``, ``music``, ``quiet`` and ``recordings`` alone stand for all their levels or styles. Every draw is fixed by the
seed and the clip's id. SNR is the ratio of mean powers over the speech clip, pauses included; mixes are not clipped,
they are scaled down where they pass full scale.
"""

from __future__ import annotations

import zlib
from functools import partial

import numpy as np

from whisper_steer.data.clips import Audio, Clip
from whisper_steer.data.recordings import STYLES, is_music, recordings
from whisper_steer.data.splits import order_key, stratified
from whisper_steer.errors import DataError, UsageError

LEVELS: dict[str, tuple[float, ...]] = {
    "snr": (20.0, 10.0, 5.0, 0.0, -5.0),
    "music": (5.0, 0.0),
    "quiet": (-10.0, -20.0, -30.0, -40.0),
}
RECORDINGS = 20
"""of a style, where neither the condition nor a limit says how many"""


def parse(names: list[str]) -> list[str]:
    """Condition names in full, ``snr:0`` and such. Raises `UsageError` for an unknown one."""
    parsed: list[str] = []
    for name in names:
        kind, _, level = name.partition(":")
        if kind == "recordings":
            parsed += _recordings(name, level)
        elif kind in LEVELS and not level:
            parsed += [f"{kind}:{value:g}" for value in LEVELS[kind]]
        elif kind in LEVELS and level.lstrip("-").replace(".", "", 1).isdigit():
            parsed.append(f"{kind}:{float(level):g}")
        else:
            raise UsageError(
                f"unknown condition {name!r}; choose snr, music, quiet, recordings, or a level such as snr:0"
            )
    return list(dict.fromkeys(parsed))


def _recordings(name: str, which: str) -> list[str]:
    style, _, number = which.partition(":")
    if not style:
        return [f"recordings:{each}" for each in STYLES]
    if style not in STYLES or (number and not (number.isdigit() and int(number))):
        raise UsageError(
            f"unknown condition {name!r}; write recordings:STYLE or recordings:STYLE:NUMBER, STYLE one of "
            f"{', '.join(STYLES)}"
        )
    return [f"recordings:{which}".rstrip(":")]


def apply(
    names: list[str], clips: list[Clip], limit: int | None, seed: int, language: str | None = None
) -> list[Clip]:
    """The derived clips of all conditions, from clean clips of one split; at most ``limit`` a data set and condition,
    or recordings a style. ``language``: recordings are made of speech in it and of speech whose language is unknown."""
    speech = stratified([clip for clip in clips if clip.kind == "speech"], limit, seed)
    sounds = [clip for clip in clips if clip.kind == "nonspeech" and not clip.voice]
    understood = [clip for clip in clips if clip.language is None or language in (None, clip.language)]
    derived: list[Clip] = []
    for name in names:
        kind, _, level = name.partition(":")
        if kind == "recordings":
            style, _, number = level.partition(":")
            n = int(number or limit or RECORDINGS)
            derived += recordings(understood, style, n, seed, clips[0].split)
        elif kind == "quiet":
            derived += [clip.derived(name, partial(_quiet, clip, float(level))) for clip in speech]
        else:
            pool = [clip for clip in sounds if kind == "snr" or is_music(clip)]
            derived += [_mixed(name, clip, _pick(pool, clip.id, name, seed), float(level)) for clip in speech]
    return derived


def mix(speech: Audio, noise: Audio, snr_db: float) -> Audio:
    """Speech plus noise, repeated or cut to its length, at ``snr_db``; float32 (n,), |x| <= 1."""
    noise = fit_length(noise, len(speech))
    power_speech, power_noise = (float(np.mean(np.square(x, dtype=np.float64))) for x in (speech, noise))
    if power_noise == 0:
        return speech
    gain = np.sqrt(power_speech / power_noise / 10 ** (snr_db / 10))
    mixed = speech + gain * noise
    return (mixed / max(1.0, float(np.abs(mixed).max()))).astype(np.float32)


def fit_length(audio: Audio, n: int) -> Audio:
    """Repeat or cut samples to ``n``."""
    return np.resize(audio, n) if len(audio) else np.zeros(n, np.float32)


def _mixed(name: str, speech: Clip, noise: Clip, snr_db: float) -> Clip:
    return speech.derived(
        name, lambda: mix(speech.samples(), noise.samples(), snr_db), extra={"noise": noise.id}
    )


def _quiet(clip: Clip, gain_db: float) -> Audio:
    return (clip.samples() * 10 ** (gain_db / 20)).astype(np.float32)


def _pick(pool: list[Clip], clip_id: str, name: str, seed: int) -> Clip:
    if not pool:
        what = "music" if "music" in name else "non-speech"
        raise DataError(f"condition {name} needs {what} clips in the run's data; add some, or leave it out")
    ordered = sorted(pool, key=lambda clip: order_key(clip, seed))
    return ordered[zlib.crc32(f"{clip_id}{name}".encode()) % len(ordered)]
