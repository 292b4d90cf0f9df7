"""Speech in the strata that promises are made for: a clip as recorded, in noise and from afar, through a gate."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt
from tqdm import tqdm
from whisper.audio import N_SAMPLES

from whisper_steer.data.clips import Audio, Clip
from whisper_steer.data.labels import NONSPEECH, SPEECH, spoken_frames
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import AudioError
from whisper_steer.fit.degrade import distant, looped, mix, peak_safe
from whisper_steer.gate.hearing import STEP_SAMPLES, listen
from whisper_steer.gate.kinds import FRAMES_PER_STEP, Gate
from whisper_steer.gate.spans import STEP_SECONDS, Evidence, audible
from whisper_steer.gate.strata import (
    CLEAN,
    FAR,
    LANGUAGE,
    NOISY,
    ONE_WORD,
    ONE_WORD_SECONDS,
    Stratum,
    Utterance,
    calibrated,
)
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.steering import Steering

SNR = (0.0, 10.0)
"""dB, of speech in noise"""


def utterances(
    prefix: Prefix, gate: Gate, clip: Clip, noise: Sequence[Clip], seed: int, hard: bool = True
) -> Iterator[Utterance]:
    """The first half minute of a clip of speech as recorded and, with ``hard``, in noise and from afar.

    Noise is drawn from ``noise``; where there is none, no speech in noise comes. Nothing comes of a clip in which
    Silero finds no speech. Raises `AudioError`.
    """
    samples = clip.samples()[:N_SAMPLES]
    frames = spoken_frames(samples)
    spoken = steps_of_frames(frames, len(samples))
    if not spoken.any():
        return
    rng = np.random.default_rng([seed, zlib.crc32(clip.id.encode())])
    brief = spoken.sum() * STEP_SECONDS < ONE_WORD_SECONDS
    language = (f"{LANGUAGE} {clip.language}",) if clip.language else ()
    made: list[tuple[tuple[str, ...], Audio]] = [((ONE_WORD if brief else CLEAN, *language), samples)]
    if hard and noise:
        background = looped(noise[int(rng.integers(len(noise)))].samples(), len(samples), rng)
        labels = np.where(frames, SPEECH, NONSPEECH)
        made.append(((NOISY,), peak_safe(mix(samples, background, float(rng.uniform(*SNR)), labels))))
    if hard:
        made.append(((FAR,), distant(samples, rng)))
    for strata, audio in made:
        yield Utterance(clip.group, strata, heard(prefix, gate, audio, spoken))


def one_of_each(
    prefix: Prefix,
    gate: Gate,
    clips: Sequence[Clip],
    noise: Sequence[Clip],
    seed: int,
    hard: int | None = None,
) -> list[Utterance]:
    """`utterances` of one clip of each speaker, drawn; another one where it cannot be read or holds no speech.

    ``hard``: of so many speakers in noise and from afar as well; None is all.
    """
    rng = np.random.default_rng(seed)
    clips_of: dict[str, list[Clip]] = {}
    for i in rng.permutation(len(clips)):
        clips_of.setdefault(clips[i].group, []).append(clips[i])
    found: list[Utterance] = []
    for i, own in enumerate(tqdm(clips_of.values(), desc="listening, stratum by stratum", unit="speaker")):
        for clip in own:
            heard_in: list[Utterance] = []
            with suppress(AudioError):
                heard_in = list(utterances(prefix, gate, clip, noise, seed, hard is None or i < hard))
            if heard_in:
                found += heard_in
                break
    return found


def calibrate_strata(
    prefix: Prefix, artifact: Artifact, clips: Sequence[Clip], noise: Sequence[Clip], seed: int
) -> list[Stratum]:
    """What each stratum of ``clips``, of speakers that fitted and chose nothing, would need.

    Judged is the threshold that the artifact has by default.
    """
    judged = Steering(artifact)
    found = one_of_each(prefix, artifact.gate, clips, noise, seed)
    return calibrated(found, judged.promise, judged.threshold, seed)


def heard(prefix: Prefix, gate: Gate, audio: Audio, spoken: npt.NDArray[np.bool_]) -> Evidence:
    """What decides which of a recording's spoken steps lie in spans: (spoken steps,)."""
    return audible(listen(prefix, gate, audio, 0.0).evidence)[spoken]


def steps_of_frames(frames: npt.NDArray[np.bool_], samples: int) -> npt.NDArray[np.bool_]:
    """Frames of 20 ms (n,) as the steps of so many samples: one is spoken where one of its frames is."""
    steps = -(-samples // STEP_SAMPLES)
    padded = np.zeros(steps * FRAMES_PER_STEP, bool)
    padded[: len(frames)] = frames[: len(padded)]
    return np.asarray(padded.reshape(-1, FRAMES_PER_STEP).any(axis=1))
