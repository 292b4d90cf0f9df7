"""A convolutional gate on many scenes.

``python -m whisper_steer.lab.gates tiny.en --scenes-from DIR --device cuda --out FILE``

The training is `whisper_steer.fit.conv_gate`, with a larger batch and more steps. ``whisper-steer fit --gate FILE``
calibrates the gate. On a GPU the activations take 0.6 MB a window of tiny.en.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.labels import FRAME_SAMPLES, FRAMES
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.fit.conv_gate import Training, fit_steps, step_labels
from whisper_steer.gate.kinds import FRAMES_PER_STEP, Conv, steps_of
from whisper_steer.gate.store import save_gate
from whisper_steer.lab.command import Command
from whisper_steer.lab.scenes import Made, read
from whisper_steer.models.load import load_model
from whisper_steer.sae.model import normalise

BATCH, LEARNING_RATE, EPOCHS, FEWEST_STEPS = 32, 3e-3, 8, 1200
PASS = 32
"""windows that pass the encoder at a time"""
SAMPLE, EVERY = 400, 8
"""windows, and steps of them, that the mean and the spread are taken from"""


@click.command(cls=Command, help=__doc__)
@click.argument("model")
@click.option(
    "--scenes-from", type=click.Path(path_type=Path), required=True, help="Made by whisper_steer.lab.scenes."
)
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


def mels(made: Made, n_mels: int, device: torch.device) -> Tensor:
    """Log-mel windows (n, n_mels, 3000) float16 of all windows, on ``device``: half a megabyte each."""
    found = torch.empty(len(made), n_mels, 3000, dtype=torch.float16, device=device)
    for i in tqdm(range(len(made)), desc="mels", unit="window"):
        samples = np.array(made.samples[i, : made.content[i] * FRAME_SAMPLES])
        found[i] = window_mel(torch.from_numpy(samples).to(device), n_mels)
    return found


def steps(prefix: Prefix, mel: Tensor) -> Tensor:
    """Steps (n, 750, n_state) float16 of log-mel windows (n, n_mels, 3000), on the encoder's device."""
    n_state = int(prefix.encoder.conv1.out_channels)
    shape = (len(mel), FRAMES // FRAMES_PER_STEP, n_state)
    found = torch.empty(shape, dtype=torch.float16, device=prefix.device)
    for first in tqdm(range(0, len(mel), PASS), desc="encoder", unit="batch"):
        found[first : first + PASS] = steps_of(prefix(mel[first : first + PASS]))
    return found


if __name__ == "__main__":
    main()
