"""Harder versions of the clean clips: speech in noise and music, quiet speech, long recordings.

A condition is written ``snr:0`` (noise from the run's non-speech clips, at 0 dB), ``music:5``, ``quiet:-30`` (dB) or
``long``; ``snr``, ``music`` and ``quiet`` alone stand for all their levels. Every draw is fixed by the seed and the
clip's id. SNR is the ratio of mean powers over the speech clip, pauses included; mixes are not clipped, they are
scaled down where they pass full scale.
"""

from __future__ import annotations

import zlib
from functools import partial

import numpy as np

from whisper_steer.data.clips import Audio, Clip
from whisper_steer.data.normalize import normalize
from whisper_steer.data.splits import order_key, stratified
from whisper_steer.errors import DataError, UsageError

LEVELS: dict[str, tuple[float, ...]] = {
    "snr": (20.0, 10.0, 5.0, 0.0, -5.0),
    "music": (5.0, 0.0),
    "quiet": (-10.0, -20.0, -30.0, -40.0),
}
STRETCH_SECONDS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0)
STRETCH_KINDS = ("silence", "noise", "music")
MUSIC = ("music", "instruments", "game-opensurge", "musan-music")
"""data sets or labels that are music"""
SAMPLE_RATE = 16000


def parse(names: list[str]) -> list[str]:
    """Condition names in full, ``snr:0`` and such. Raises `UsageError` for an unknown one."""
    parsed: list[str] = []
    for name in names:
        kind, _, level = name.partition(":")
        if name == "long":
            parsed.append(name)
        elif kind in LEVELS and not level:
            parsed += [f"{kind}:{value:g}" for value in LEVELS[kind]]
        elif kind in LEVELS and level.lstrip("-").replace(".", "", 1).isdigit():
            parsed.append(f"{kind}:{float(level):g}")
        else:
            raise UsageError(
                f"unknown condition {name!r}; choose snr, music, quiet, long, or a level such as snr:0"
            )
    return list(dict.fromkeys(parsed))


def apply(names: list[str], clips: list[Clip], limit: int | None, seed: int) -> list[Clip]:
    """The derived clips of all conditions, from clean test clips; at most ``limit`` a data set and condition."""
    speech = stratified([clip for clip in clips if clip.kind == "speech"], limit, seed)
    sounds = [clip for clip in clips if clip.kind == "nonspeech" and not clip.voice]
    derived: list[Clip] = []
    for name in names:
        kind, _, level = name.partition(":")
        if kind == "quiet":
            derived += [clip.derived(name, partial(_quiet, clip, float(level))) for clip in speech]
        elif kind in ("snr", "music"):
            pool = [clip for clip in sounds if kind == "snr" or is_music(clip)]
            derived += [_mixed(name, clip, _pick(pool, clip.id, name, seed), float(level)) for clip in speech]
        else:
            derived += long_recordings(speech, sounds, seed)
    return derived


def is_music(clip: Clip) -> bool:
    return clip.dataset in MUSIC or clip.label in MUSIC


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


def long_recordings(speech: list[Clip], sounds: list[Clip], seed: int) -> list[Clip]:
    """Two utterances with a stretch between them, one recording for each length and kind of stretch.

    Speech with a transcript and of 2 s or more; two different clips, in a fixed order. The stretch is digital
    silence, or one non-speech clip repeated, scaled to 10 dB below the first utterance.
    """
    spoken = [clip for clip in speech if clip.text and clip.seconds >= 2] or [
        clip for clip in speech if clip.text
    ]
    spoken.sort(key=lambda clip: order_key(clip, seed))
    if len(spoken) < 2:
        raise DataError("condition long needs two speech clips with transcripts in the run's data")
    pools = {
        "noise": [clip for clip in sounds if not is_music(clip)],
        "music": [clip for clip in sounds if is_music(clip)],
    }
    made = []
    for i, kind in enumerate(STRETCH_KINDS):
        if kind != "silence" and not pools[kind]:
            continue
        for j, seconds in enumerate(STRETCH_SECONDS):
            turn = 2 * (i * len(STRETCH_SECONDS) + j)
            first, second = spoken[turn % len(spoken)], spoken[(turn + 1) % len(spoken)]
            name = f"long/{kind}-{seconds:g}s"
            noise = None if kind == "silence" else _pick(pools[kind], name, kind, seed)
            made.append(_long(name, first, second, noise, kind, seconds))
    return made


def _long(name: str, first: Clip, second: Clip, noise: Clip | None, kind: str, seconds: float) -> Clip:
    middle = first.seconds + seconds
    total = middle + second.seconds
    normalizer = first.normalizer if first.normalizer == second.normalizer else "english"
    words = [len(normalize(clip.text or "", normalizer).split()) for clip in (first, second)]

    def read() -> Audio:
        a, b = first.samples(), second.samples()
        stretch = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
        if noise is not None:
            sound = fit_length(noise.samples(), len(stretch))
            level = float(np.sqrt(np.mean(np.square(a))) / max(1e-9, np.sqrt(np.mean(np.square(sound)))))
            stretch = np.clip(sound * level * 10 ** (-10 / 20), -1, 1).astype(np.float32)
        return np.concatenate([a, stretch, b])

    return Clip(
        id=f"{name}/{first.id}+{second.id}",
        kind="recording",
        dataset=f"long-{kind}",
        split=first.split,
        group=name,
        seconds=total,
        source=read,
        text=f"{first.text} {second.text}",
        normalizer=normalizer,
        label=kind,
        condition="long",
        extra={
            "stretch": [round(first.seconds, 3), round(middle, 3)],
            "words": words,
            "noise": None if noise is None else noise.id,
        },
    )
