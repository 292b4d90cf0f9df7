"""A convolutional gate on many scenes. ``python -m lab.gates tiny.en --scenes-from DIR --device cuda --out FILE``

The training is `whisper_steer.fit.conv_gate`, with a larger batch and more steps. ``whisper-steer fit --gate FILE``
calibrates the gate. On a GPU the activations take 0.6 MB a window of tiny.en.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from torch import Tensor

from lab.activations import mels, steps
from lab.command import Command
from lab.scenes import Made, read
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.fit.conv_gate import Training, fit_steps, step_labels
from whisper_steer.gate.kinds import Conv
from whisper_steer.gate.store import save_gate
from whisper_steer.models.load import load_model
from whisper_steer.sae.model import normalise

BATCH, LEARNING_RATE, EPOCHS, FEWEST_STEPS = 32, 3e-3, 8, 1200
SAMPLE, EVERY = 400, 8
"""windows, and steps of them, that the mean and the spread are taken from"""


@click.command(cls=Command, help=__doc__)
@click.argument("model")
@click.option("--scenes-from", type=click.Path(path_type=Path), required=True, help="Made by lab.scenes.")
@click.option("--point", default="blocks.0", show_default=True, help="Where the gate listens.")
@click.option("--hidden", type=click.IntRange(1), default=64, show_default=True, help="Features of a layer.")
@click.option("--seed", default=0, show_default=True)
@click.option("--device", help="[default: CUDA where there is one]")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="FILE.safetensors")
def main(
    model: str, scenes_from: Path, point: str, hidden: int, seed: int, device: str | None, out: Path
) -> None:
    torch.set_float32_matmul_precision("high")
    made = read(scenes_from, "fit")
    prefix = Prefix(load_model(model, device).encoder, point, fast=True)
    training = Training(hidden, BATCH, LEARNING_RATE, EPOCHS, FEWEST_STEPS, seed)
    gate = train(prefix, made, training)
    save_gate(gate, point, out)


def train(prefix: Prefix, made: Made, training: Training) -> Conv:
    """A gate for the prefix's point, on its device."""
    found = steps(prefix, mels(made, prefix.n_mels, prefix.device))
    mean, spread = centre_and_spread(found, torch.from_numpy(step_labels(made.labels)), training.seed)
    return fit_steps(
        lambda windows: found[windows.to(found.device)],
        made.labels,
        made.content,
        mean,
        spread,
        training,
        prefix.device,
    )


def centre_and_spread(found: Tensor, labels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Mean and, when normalised, standard deviation of labelled steps: (n_state,) each, from a sample.

    ``found``: (n, steps, n_state); ``labels``: (n, steps).
    """
    windows = torch.randint(len(found), (SAMPLE,), generator=torch.Generator().manual_seed(seed))
    sample = found[windows.to(found.device), ::EVERY].flatten(0, 1).float()
    known = (labels[windows, ::EVERY].flatten() >= 0).to(found.device)
    mean = sample[known].mean(dim=0)
    return mean, normalise(sample[known], mean)[0].std(dim=0) + 1e-6


if __name__ == "__main__":
    main()
