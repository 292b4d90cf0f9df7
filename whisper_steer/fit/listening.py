"""The gate that listens: chosen on one half of the held-out clips, calibrated on the other.

Both are heard as a user's recordings are, through `whisper_steer.gate.hearing.listen`: single clips, and recordings
with pauses made from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from tqdm import tqdm

from whisper_steer.data.clips import Clip
from whisper_steer.data.labels import NONSPEECH, SPEECH, spoken_frames
from whisper_steer.data.recordings import SAMPLE_RATE, Script, recordings
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import DataError
from whisper_steer.fit.degrade import at_speed, looped, mix, peak_safe, phone_band
from whisper_steer.gate.conformal import loss_curve
from whisper_steer.gate.hearing import STEP_SAMPLES, listen
from whisper_steer.gate.kinds import FRAMES_PER_STEP, Gate
from whisper_steer.gate.spans import STEP_SECONDS, Evidence, audible, runs_of, spans_of
from whisper_steer.steer.artifact import Calibration

CLEAR = 1.0
"""seconds from speech on at which a span in a pause counts as wrong"""
LOSSES = (0.0025, 0.005, 0.01, 0.02)
"""mean losses of speech as recorded at which gates are compared: at one alone, two or three clips would decide"""
HARD = ("0 dB", "-50 dB level", "phone", "half speed", "double speed")
"""conditions of speech in which a gate shall lose as little as it can"""
HEARD_STYLES = ("pauses", "dialogue", "loud-music")
"""of `whisper_steer.data.recordings.STYLES`; in a babble somebody does speak"""


@dataclass
class Heard:
    """One clip or recording, and what a gate made of it."""

    evidence: Evidence
    spoken: npt.NDArray[np.bool_]
    """(steps,) where Silero, on the clean utterance, hears speech"""
    utterances: list[tuple[int, int]]
    """steps from and to"""
    kind: str
    """speech, nonspeech or recording as the clip's; "voice" of classes that hold human voice, "hard" of `HARD`"""

    def losses(self) -> list[Evidence]:
        """For each utterance, the `audible` evidence of its spoken steps."""
        reach = audible(self.evidence)
        found = [reach[a:b][self.spoken[a:b]] for a, b in self.utterances]
        return [steps for steps in found if len(steps)]

    @property
    def pause(self) -> npt.NDArray[np.bool_]:
        """(steps,) `CLEAR` of speech."""
        margin = round(CLEAR / STEP_SECONDS)
        return np.asarray(~ndimage.binary_dilation(self.spoken, np.ones(2 * margin + 1)))

    def wrong_seconds(self, threshold: float) -> tuple[float, float]:
        """Seconds of pause inside of spans, and seconds of pause."""
        pause = self.pause
        inside = np.zeros(len(pause), bool)
        for span in spans_of(self.evidence, threshold, len(pause) * STEP_SECONDS):
            inside[round(span.start / STEP_SECONDS) : round(span.end / STEP_SECONDS)] = True
        return float((inside & pause).sum() * STEP_SECONDS), float(pause.sum() * STEP_SECONDS)


class _Remembering(Prefix):
    """A prefix that keeps the windows of one recording, so that several gates may read them."""

    def __init__(self, prefix: Prefix) -> None:
        super().__init__(prefix.encoder, prefix.point, fast=prefix.fast)
        self.kept: dict[bytes, Tensor] = {}

    def __call__(self, mel: Tensor) -> Tensor:
        key = mel.cpu().numpy().tobytes()
        if key not in self.kept:
            self.kept[key] = super().__call__(mel)
        return self.kept[key]


def hear(prefix: Prefix, gates: dict[str, Gate], clips: list[Clip], label: str) -> dict[str, list[Heard]]:
    """Every clip through every gate, by the gate's name."""
    remembering = _Remembering(prefix)
    found: dict[str, list[Heard]] = {name: [] for name in gates}
    for clip in tqdm(clips, desc=f"listening, {label}", unit="clip"):
        samples = clip.samples()
        remembering.kept.clear()
        spoken, utterances = _spoken(clip, samples)
        kind = "hard" if clip.condition in HARD else "voice" if clip.voice else clip.kind
        for name, gate in gates.items():
            evidence = listen(remembering, gate, samples, 0.0).evidence
            found[name].append(Heard(evidence, spoken, utterances, kind))
    return found


def compare(heard: list[Heard]) -> dict[str, float]:
    """What a gate leaves wrong where as much speech as recorded is left out: the mean over `LOSSES`.

    The shares of pauses in recordings that lie in spans, of clips without speech that have one (voice classes apart),
    and of hard utterances (`hard_speech`) that have none; ``cost`` is their mean, by which gates are compared.
    """
    hard, heard = [h for h in heard if h.kind == "hard"], [h for h in heard if h.kind != "hard"]
    curve = loss_curve([loss for each in heard for loss in each.losses()])
    rows = [_wrong_at(_threshold_at(curve, loss), heard, hard) for loss in LOSSES]
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return {**means, "cost": float(np.mean(list(means.values())))}


def _threshold_at(curve: Tensor, loss: float) -> float:
    """The largest threshold at which the mean loss does not exceed ``loss``."""
    kept = curve[:, 1] <= loss + 1e-9
    return float(curve[kept, 0].max()) if bool(kept.any()) else float(curve[0, 0])


def _wrong_at(threshold: float, heard: list[Heard], hard: list[Heard]) -> dict[str, float]:
    def with_spans(some: list[Heard]) -> float:
        return float(np.mean([each.evidence.max() >= threshold for each in some])) if some else 0.0

    recorded = [each.wrong_seconds(threshold) for each in heard if each.kind == "recording"]
    wrong, pause = np.sum(recorded or [(0.0, 0.0)], axis=0)
    return {
        "pauses_in_spans": float(wrong / pause) if pause else 0.0,
        "nonspeech_with_spans": with_spans([each for each in heard if each.kind == "nonspeech"]),
        "voice_with_spans": with_spans([each for each in heard if each.kind == "voice"]),
        "hard_without_spans": 1.0 - with_spans(hard) if hard else 0.0,
    }


def calibrate(heard: list[Heard], harder: float = 0.0, counting: float = 1.0) -> Calibration:
    """The promise's curve, and the strongest evidence in each clip without speech and in each pause of a recording.

    ``harder``: how much more (a share) of these utterances than of people's is lost at one threshold. ``counting``: the
    share of the clips and pauses, those with the strongest evidence, that are as hard as recorded ones.
    """
    losses = [loss for each in heard for loss in each.losses()]
    nonspeech = sorted((value for each in heard for value in _strongest(each)), reverse=True)
    curve = loss_curve(losses)
    curve[:, 1] = (curve[:, 1] - harder).clamp(min=0.0)
    kept = nonspeech[: max(1, round(counting * len(nonspeech)))]
    return Calibration(curve, len(losses), torch.tensor(kept))


def hard_speech(speech: list[Clip], nonspeech: list[Clip], n: int, seed: int) -> list[Clip]:
    """``n`` utterances in each of `HARD`."""
    rng = np.random.default_rng(seed)
    made = []
    for name in HARD:
        for i in rng.permutation(len(speech))[:n]:
            noise = nonspeech[int(rng.integers(len(nonspeech)))]
            made.append(
                speech[i].derived(name, partial(_hard, name, speech[i], noise, int(rng.integers(2**31))))
            )
    return made


def _hard(name: str, clip: Clip, noise: Clip, seed: int) -> np.ndarray:
    samples = clip.samples()
    if name == "0 dB":
        spoken = np.where(spoken_frames(samples), SPEECH, NONSPEECH)
        background = looped(noise.samples(), len(samples), np.random.default_rng(seed))
        return peak_safe(mix(samples, background, 0.0, spoken))
    if name == "-50 dB level":
        return samples * np.float32(10 ** (-50 / 20))
    return phone_band(samples) if name == "phone" else at_speed(samples, 0.5 if name == "half speed" else 2.0)


def held_out_recordings(clips: list[Clip], n: int, seed: int) -> list[Clip]:
    """``n`` recordings of each of `HEARD_STYLES` from held-out clips; none where they do not suffice."""
    made: list[Clip] = []
    for style in HEARD_STYLES:
        with suppress(DataError):
            made += recordings(clips, style, n, seed, split="choose")
    return made


def _strongest(heard: Heard) -> Iterator[float]:
    if heard.kind == "nonspeech":
        yield float(heard.evidence.max())
    if heard.kind == "recording":
        yield from (float(heard.evidence[start:end].max()) for start, end in runs_of(heard.pause))


def _spoken(clip: Clip, samples: np.ndarray) -> tuple[npt.NDArray[np.bool_], list[tuple[int, int]]]:
    """Spoken steps of a clip or recording, and its utterances."""
    steps = -(-len(samples) // STEP_SAMPLES)
    frames = np.zeros(steps * FRAMES_PER_STEP, bool)
    if clip.kind == "nonspeech":
        return frames[::FRAMES_PER_STEP], []
    places = [(0.0, len(samples) / SAMPLE_RATE)]
    if clip.kind == "recording":
        places = [(part.start, part.end) for part in Script.from_dict(clip.extra).utterances]
    for start, end in places:
        found = spoken_frames(samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)])
        first = round(start / STEP_SECONDS * FRAMES_PER_STEP)
        part = frames[first : first + len(found)]
        part |= found[: len(part)]
    spoken: npt.NDArray[np.bool_] = np.asarray(frames.reshape(-1, FRAMES_PER_STEP).any(axis=1))
    return spoken, [(int(a / STEP_SECONDS), min(steps, int(b / STEP_SECONDS) + 1)) for a, b in places]
