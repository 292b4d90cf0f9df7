"""Models of recorded sounds for the calibration pack, see `whisper_steer.sounds.walks`.

python -m whisper_steer.data.learn_sounds manifest.jsonl --out whisper_steer/assets/calibration/walks.safetensors

One model a class of the manifest's ``fit`` split that holds no human voice; classes with few recordings share the model
of their data set.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import click
import numpy as np
import torch
from safetensors.numpy import save
from sklearn.cluster import MiniBatchKMeans
from tqdm import tqdm
from whisper.audio import HOP_LENGTH, N_FFT, SAMPLE_RATE, mel_filters

from whisper_steer.data.clips import Audio, Clip
from whisper_steer.data.own import manifest as from_manifest
from whisper_steer.files.disk import write_whole
from whisper_steer.sounds.blocks import Array
from whisper_steer.sounds.walks import BANDS, PATCH, STEP_DB

FEW = 8
"""recordings of a class below which it shares the model of its data set"""
LONGEST = 10 * SAMPLE_RATE
FLOOR_DB = 70.0
"""under the loudest band of a recording"""
PER_PATCH, MOST = 10, 240
"""patches of a class are clustered into one for each of so many, at most so many"""


def spectrum(samples: Audio) -> Array:
    """Log-mel spectrum in decibels under the loudest band (patches, PATCH, BANDS)."""
    found = torch.stft(
        torch.from_numpy(np.asarray(samples[:LONGEST], np.float32)),
        N_FFT, HOP_LENGTH, window=torch.hann_window(N_FFT), return_complex=True,
    )  # fmt: skip
    power = (mel_filters("cpu", BANDS) @ found.abs().square()).numpy().T
    decibels = 10 * np.log10(np.maximum(power, 1e-12))
    decibels = np.maximum(decibels - decibels.max(), -FLOOR_DB)
    return decibels[: len(decibels) // PATCH * PATCH].reshape(-1, PATCH, BANDS)


def model_of(clips: list[Clip], seed: int) -> dict[str, Array]:
    """``patches``, ``spread`` and ``course`` of a class, as they are stored."""
    spectra = [spectrum(clip.samples()) for clip in clips]
    flat = np.concatenate(spectra).reshape(-1, PATCH * BANDS)
    k = int(np.clip(len(flat) // PER_PATCH, 8, MOST))
    clustering = MiniBatchKMeans(k, random_state=seed, n_init=1, batch_size=2048).fit(flat)
    labels = clustering.labels_
    centres = np.stack(
        [
            flat[labels == i].mean(axis=0) if (labels == i).any() else clustering.cluster_centers_[i]
            for i in range(k)
        ]
    )
    strays = (flat - centres[labels]).reshape(-1, PATCH, BANDS)
    spread = np.stack(
        [
            np.sqrt(np.square(strays[labels == i]).mean(axis=(0, 1)))
            if (labels == i).any()
            else np.zeros(BANDS)
            for i in range(k)
        ]
    )
    course, at = [], 0
    for each in spectra:
        course += [*(labels[at : at + len(each)] + 1), 0]
        at += len(each)
    return {
        "patches": np.clip(np.round(-centres.reshape(k, PATCH, BANDS) / STEP_DB), 0, 255).astype(np.uint8),
        "spread": np.clip(np.round(spread / STEP_DB), 0, 255).astype(np.uint8),
        "course": np.array(course, np.uint8),
    }


def classes(clips: list[Clip]) -> dict[str, list[Clip]]:
    """Name -> recordings."""
    by_label: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        by_label[clip.dataset, str(clip.label)].append(clip)
    found: dict[str, list[Clip]] = defaultdict(list)
    for (dataset, label), mine in sorted(by_label.items()):
        found[f"{dataset} {label}" if len(mine) >= FEW else dataset] += mine
    return {name.replace("_", " "): mine for name, mine in sorted(found.items())}


@click.command(help=__doc__)
@click.argument("manifest", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The models, safetensors.")
@click.option("--seed", default=0, show_default=True)
def main(manifest: Path, out: Path, seed: int) -> None:
    clips = [
        clip
        for clip in from_manifest(manifest)
        if clip.split == "fit" and clip.kind == "nonspeech" and not clip.voice
    ]
    tensors = {
        f"{name}/{key}": value
        for name, mine in tqdm(classes(clips).items(), unit="class")
        for key, value in model_of(mine, seed).items()
    }
    write_whole(out, save(tensors))
    click.echo(
        f"{len(tensors) // 3} models of {len(clips)} recordings: {out}, {out.stat().st_size / 1e6:.1f} MB"
    )


if __name__ == "__main__":
    main()
