"""Which synthetic sounds fool the gate: seeds of the generators, those kept that gates hear the most speech in.

python -m whisper_steer.data.find_sounds --out whisper_steer/assets/calibration/sounds.json

Every generator of `whisper_steer.sounds` draws its parameters from its seed, so a search over seeds is one over
parameters. Sounds lie several to a window, equally loud, and are judged by their strongest 0.2 s, with the gates that
ship for tiny.en and base.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
import torch
from tqdm import tqdm
from whisper.audio import N_SAMPLES, SAMPLE_RATE

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.pack import recorded_sound
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.files.disk import write_whole
from whisper_steer.gate.hearing import STEP_SAMPLES
from whisper_steer.gate.kinds import Gate
from whisper_steer.models.load import load_model
from whisper_steer.sounds import GENERATORS
from whisper_steer.steer.steering import steering_for

SEED_BASE = 1_000_000
"""lower seeds stay unseen for benchmarks"""
MODELS = ("tiny.en", "base")
PLAIN = ("silence", "dither")
"""two of each are enough"""
CANDIDATES = {"texture": 50, "motor": 50, "calls": 80, "solo": 80, "animals": 100}
KEPT = {"texture": 36, "motor": 36, "calls": 60, "solo": 50, "animals": 75}
"""of the generators that draw spectrum and pitch at random"""
OTHERS = (5, 4)
"""candidates and kept of a generator that imitates one source"""
HARD = 0.75
"""share of the kept that are the hardest; the others are as they come"""
SECONDS = (2.0, 9.0)
PEAK = 0.25
APART = SAMPLE_RATE // 2


@dataclass(frozen=True)
class Found:
    """A sound of the pack."""

    name: str
    seed: int
    seconds: float


def candidates() -> Iterator[Found]:
    """Sounds to judge, generator by generator."""
    for name in GENERATORS:
        n = 2 if name in PLAIN else CANDIDATES.get(name, OTHERS[0])
        # One stream of lengths for all: more candidates leave those before as they were.
        lengths = SECONDS[0] * (SECONDS[1] / SECONDS[0]) ** np.random.default_rng(SEED_BASE).random(n)
        for i, seconds in enumerate(lengths):
            yield Found(name, SEED_BASE + i, round(float(seconds), 2))


def judged(sounds: Iterable[Found], listeners: list[tuple[Prefix, Gate, float]]) -> dict[Found, list[float]]:
    """For each sound, the strongest evidence over the threshold of each gate."""
    found: dict[Found, list[float]] = {}
    window, places = np.zeros(N_SAMPLES, np.float32), list[tuple[Found, int, int]]()

    def judge() -> None:
        for prefix, gate, threshold in listeners:
            evidence = gate.evidence(prefix(window_mel(torch.from_numpy(window), prefix.n_mels)[None]))[0]
            for sound, start, end in places:
                strongest = float(evidence[start // STEP_SAMPLES : -(-end // STEP_SAMPLES)].max())
                found.setdefault(sound, []).append(strongest - threshold)
        window[:] = 0
        places.clear()

    at = 0
    for sound in tqdm(list(sounds), unit="sound"):
        samples = recorded_sound(sound.name, sound.seconds, sound.seed)
        if at + len(samples) > N_SAMPLES:
            judge()
            at = 0
        peak = float(np.abs(samples).max())
        window[at : at + len(samples)] = samples * (PEAK / peak if peak > 1e-3 else 1)
        places.append((sound, at, at + len(samples)))
        at += len(samples) + APART
    judge()
    return found


def kept(found: dict[Found, list[float]]) -> list[Found]:
    """Of each generator the hardest by the mean over the gates, and some as they come; in the order of their seeds."""
    chosen: list[Found] = []
    for name in GENERATORS:
        mine = [sound for sound in found if sound.name == name]
        n = min(len(mine), KEPT.get(name, OTHERS[1]))
        hard = sorted(mine, key=lambda sound: -float(np.mean(found[sound])))[: round(n * HARD)]
        others = [sound for sound in mine if sound not in hard][: n - len(hard)]
        chosen += sorted([*hard, *others], key=lambda sound: sound.seed)
    return chosen


@click.command(help=__doc__)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="JSON of names, seeds, seconds.")
def main(out: Path) -> None:
    found = judged(candidates(), gates())
    for name in GENERATORS:
        heard = np.array([found[s] for s in found if s.name == name]) > 0
        click.echo(f"{name}: {len(heard)} sounds, heard as speech by {heard.sum(axis=0).tolist()}")
    rows = [[s.name, s.seed, s.seconds, *(round(e, 1) for e in found[s])] for s in kept(found)]
    write_whole(out, "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


def gates() -> list[tuple[Prefix, Gate, float]]:
    """Blocks, gate and threshold of what ships for each of `MODELS`."""
    listeners = []
    for name in MODELS:
        encoder = load_model(name, "cpu").encoder
        steering = steering_for(partial(encoder_fingerprint, encoder), "auto")
        assert steering is not None
        listeners.append((steering.prefix(encoder), steering.artifact.gate, steering.threshold))
    return listeners


if __name__ == "__main__":
    main()
