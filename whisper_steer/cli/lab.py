"""``whisper-steer lab`` and ``whisper-steer sae``: the laboratory's commands, imported when called."""

from __future__ import annotations

from pathlib import Path

import click

from whisper_steer.cli import LazyGroup

SAE = {
    "train": ("whisper_steer.sae.command:train", "Train SAEs of an encoder's blocks."),
    "convert": (
        "whisper_steer.sae.convert_command:convert",
        "Read an SAE of any known format, write another.",
    ),
}
LAB = {
    "stability": ("whisper_steer.lab.stability:stability", "Do SAEs of other seeds find the same features?"),
    "loss": ("whisper_steer.lab.loss:loss", "What does the decoder lose by an SAE's reconstruction?"),
    "domains": ("whisper_steer.lab.domains:domains", "Which latents are of speech, of music, of sounds?"),
    "erase": ("whisper_steer.lab.erase:erase", "How many latents hold a concept?"),
    "probe": ("whisper_steer.lab.probe:probe", "What can be read off activations and off latents?"),
    "disentangle": (
        "whisper_steer.lab.disentangle:disentangle",
        "Do latents stand for one acoustic factor each?",
    ),
    "lens": (
        "whisper_steer.lab.lens:lens",
        "From which block on does the text stand, spoken and hallucinated?",
    ),
    "sanity": (
        "whisper_steer.lab.sanity:sanity",
        "Are trained SAEs better than random ones, steering included?",
    ),
    "permute": ("whisper_steer.lab.permute:permute", "A model that learned nothing, for SAEs as controls."),
    "synthetic": ("whisper_steer.lab.synthetic:synthetic", "How many known features does an SAE recover?"),
    "risk": ("whisper_steer.lab.risk:risk", "Which segments says nobody? Collect, fit and test the risk."),
    "eeg": ("whisper_steer.lab.eeg:eeg", "Do latents predict EEG?"),
}

sae = LazyGroup("sae", commands_by_name=SAE, help="Train sparse autoencoders, and convert them.")
lab = LazyGroup("lab", commands_by_name=LAB, help="Test features: what the papers did to believe in theirs.")

DATA = click.option(
    "--data", multiple=True, required=True, help="KIND:PATH, as of whisper-steer benchmark; repeatable."
)
OUT = click.option(
    "--out", type=click.Path(path_type=Path), help="Folder for the table, its JSON and its plot."
)
DEVICE = click.option("--device", help="Device of PyTorch.  [default: cuda where there is one, else cpu]")
"""options that they share"""
