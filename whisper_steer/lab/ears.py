"""Is a gate on SAE latents a better ear than one on the activations?

``python -m whisper_steer.lab.ears tiny.en manifest.jsonl --sae FILE --work DIR``

At one hook point, on the same scenes, gates learn from the activations, from the latents that tell speech best, and
from those of an SAE's Soft-Frozen control. Each kind once as a logistic regression of single steps, once as
convolutions over time. They are compared on the ``test`` split by `whisper_steer.fit.listening.compare`: where as much
speech as recorded is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Clip
from whisper_steer.data.load import load
from whisper_steer.data.recordings import recordings
from whisper_steer.data.splits import select
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.encoders.record import Activations, record
from whisper_steer.eval.provenance import machine
from whisper_steer.eval.report import table
from whisper_steer.fit import listening
from whisper_steer.fit.conv_gate import Training, fit_steps
from whisper_steer.fit.fit_gate import regression, sample
from whisper_steer.fit.pipeline import mixed
from whisper_steer.fit.scoring import auroc
from whisper_steer.gate.kinds import Conv, Gate, Linear, steps_of
from whisper_steer.lab.command import Command
from whisper_steer.lab.report import SHARES
from whisper_steer.models.load import load_model
from whisper_steer.sae.files import load as load_sae
from whisper_steer.sae.model import SAE, Latents, normalise

FEW, MANY = 128, 512
"""latents that are read"""
SCORED = 8192
"""steps on which latents are told apart"""
REPEATS = 5


@dataclass
class SparseConv(Conv):
    """The convolutional gate on latents in place of activations; its ``mean`` is theirs."""

    latents: Latents

    def logits(self, h: Tensor) -> Tensor:
        return super().logits(self.latents.encode(h)[0])


@click.command(cls=Command, help=__doc__)
@click.argument("model")
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option(
    "--sae", "sae_file", type=click.Path(path_type=Path), required=True, help="Parameters of an SAE."
)
@click.option("--soft-frozen", type=click.Path(path_type=Path), help="Those of its control.")
@click.option("--point", default="blocks.0", show_default=True, help="Their hook point.")
@click.option(
    "--scenes", default=400, show_default=True, help="To learn from; as many clips of a kind to compare on."
)
@click.option("--seeds", default=3, show_default=True, help="Trainings of each gate.")
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Folder for activations.")
def main(
    model: str,
    manifest: Path,
    sae_file: Path,
    soft_frozen: Path | None,
    point: str,
    scenes: int,
    seeds: int,
    work: Path,
) -> None:
    encoder, clips = load_model(model, "cpu").encoder, load(f"manifest:{manifest}")
    n_mels = encoder.conv1.in_channels
    speech, nonspeech = (select(clips, kind, "fit") for kind in ("speech", "nonspeech"))
    more = scenes // 4
    made_from = [[clip.identity() for clip in source] for source in (speech, nonspeech)]
    made = mixed(speech, nonspeech, scenes, more, 0)
    heard = record(encoder, made, scenes + more, point, n_mels, work, "scenes", made_from)
    saes = {"SAE": load_sae(sae_file)}
    if soft_frozen is not None:
        saes["Soft-Frozen"] = load_sae(soft_frozen)
    trained = [learn(heard, saes, seed) for seed in range(seeds)]
    gates = {f"{name}/{seed}": gate for seed, found in enumerate(trained) for name, gate in found.items()}
    prefix = Prefix(encoder, point, fast=True)
    found = listening.hear(prefix, gates, to_hear(clips, scenes), "to compare")
    rows = []
    mel = window_mel(clips[0].samples(), n_mels)[None]
    hidden = prefix(mel).float()
    for name, gate in trained[0].items():
        shares = [listening.compare(found[f"{name}/{seed}"]) for seed in range(seeds)]
        cost = milliseconds(partial(gate.evidence, hidden))
        rows.append([name, *(spread([100 * each[key] for each in shares]) for key in SHARES), f"{cost:.1f}"])
    block = milliseconds(partial(prefix, mel))
    click.echo(f"{model}, {machine()}; up to {point} {block:.0f} ms of processor time a half minute\n")
    click.echo(table(["reads", *SHARES.values(), "ms"], rows))


def spread(values: list[float]) -> str:
    """The mean over seeds, and the least and the most."""
    return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def learn(heard: Activations, saes: dict[str, SAE], seed: int) -> dict[str, Gate]:
    """A logistic regression and a convolutional gate on the activations, and on latents of each SAE."""
    training = Training(seed=seed)
    hidden, labels = sample(heard, training.seed)
    mean = hidden.mean(dim=0)
    dense = normalise(hidden, mean)[0]
    gates: dict[str, Gate] = {
        "activations": Linear(mean, *regression(dense, labels)),
        "activations, convolutions": _conv(heard, mean, dense, None, training),
    }
    for name, sae in saes.items():
        order = telling(sae, hidden, labels)
        for n in (FEW, MANY):
            latents = sae.latents(order[:n].sort().values)
            z = latents.encode(hidden)[0]
            gates[f"{n} latents, {name}"] = Linear(mean, *regression(z, labels), latents)
        centre = z.mean(dim=0)
        conv = _conv(heard, centre, normalise(z, centre)[0], latents, training)
        gates[f"{MANY} latents, {name}, convolutions"] = SparseConv(**vars(conv), latents=latents)
    return gates


def telling(sae: SAE, hidden: Tensor, labels: np.ndarray) -> Tensor:
    """(n_latents,) indices of latents, those first that tell speech from non-speech best on steps (n, n_state)."""
    chosen = torch.randperm(len(hidden), generator=torch.Generator().manual_seed(0))[:SCORED]
    with torch.no_grad():
        z = sae.encode(hidden[chosen])
    return (auroc(z, torch.from_numpy(labels).bool()[chosen]) - 0.5).abs().argsort(descending=True)


def _conv(
    heard: Activations, mean: Tensor, normal: Tensor, latents: Latents | None, training: Training
) -> Conv:
    """On the activations, or on latents of them; ``normal`` are normalised steps (n, n_features)."""

    def steps(windows: Tensor) -> Tensor:
        h = steps_of(torch.stack([heard.frames(i) for i in windows.tolist()]))
        return h if latents is None else latents.encode(h)[0]

    return fit_steps(steps, heard.labels, heard.content, mean, normal.std(dim=0) + 1e-3, training)


def to_hear(clips: list[Clip], n: int) -> list[Clip]:
    """Clips of the ``test`` split: n of each kind, hard ones, and recordings with pauses."""
    rng = np.random.default_rng(0)
    spoken, other = (select(clips, kind, "test") for kind in ("speech", "nonspeech"))
    voices = [clip for clip in clips if clip.voice and clip.split == "test"]
    some = [[part[i] for i in rng.permutation(len(part))[:n]] for part in (spoken, other, voices)]
    made = [r for style in listening.HEARD_STYLES for r in recordings(clips, style, 6, 0, "test")]
    return [*some[0], *some[1], *some[2], *listening.hard_speech(spoken, other, 30, 0), *made]


@torch.no_grad()
def milliseconds(run: Callable[[], Any]) -> float:
    """Of processor time, the mean of `REPEATS` runs behind one that is not counted."""
    run()
    started = time.process_time()
    for _ in range(REPEATS):
        run()
    return 1000 * (time.process_time() - started) / REPEATS


if __name__ == "__main__":
    main()
