"""If these fail, `whisper-steer lab eeg` does not find what the EEG obeys, or does not say so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers import random_sae, run
from safetensors.torch import save_file
from whisper.model import Whisper

pytest.importorskip("mtrf", reason="mtrf is not installed: pip install '.[eeg]'")
pytest.importorskip("statsmodels", reason="statsmodels is not installed: pip install '.[eeg]'")

from whisper_steer.lab.eeg_signals import (
    FRAME_RATE,
    latent_signals,
    listen,
    on_the_clock,
    sampled_latents,
)
from whisper_steer.lab.eeg_simulated import simulate
from whisper_steer.lab.encoders import WhisperEncoder


def bursts(seconds: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) float32 at 16 kHz: tones of random pitch and level, five a second."""
    n = round(seconds * 5)
    phase = 2 * np.pi * np.cumsum(np.repeat(rng.uniform(200, 3000, n), 3200)) / 16000
    return (np.repeat(rng.uniform(0, 0.3, n), 3200) * np.sin(phase)).astype(np.float32)


@pytest.fixture(scope="module")
def a_listener(tiny_model: Whisper, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[int]]:
    """A folder of two subjects whose EEG obeys the first of three latents, the SAE, and these latents."""
    folder = tmp_path_factory.mktemp("eeg")
    sae = random_sae()
    sounds = {f"{i}": bursts(11.0, np.random.default_rng(i)) for i in range(3)}
    encoder = WhisperEncoder(tiny_model.encoder, 80, 32)
    hidden = {name: listen(encoder, "blocks.0", samples) for name, samples in sounds.items()}
    with torch.no_grad():  # random activations hardly move: centred on theirs, latents come and go
        sae.mean.copy_(torch.cat(list(hidden.values())).float().mean(dim=0))
        save_file({k: v.contiguous() for k, v in sae.state_dict().items()}, folder / "sae.safetensors")
    chosen = sampled_latents(sae, hidden, 3, np.random.default_rng(0))
    z = [on_the_clock(latent_signals(sae, h, chosen), FRAME_RATE) for h in hidden.values()]
    for name, samples in sounds.items():
        soundfile.write(folder / f"{name}.wav", samples, 16000)
    for subject in ("s1", "s2"):
        rng = np.random.default_rng(len(list(folder.iterdir())))
        made = simulate(z, np.array([0]), rng, share=0.5)
        (folder / "people" / subject).mkdir(parents=True)
        for name, eeg in zip(sounds, made.eeg, strict=True):
            np.savez(
                folder / "people" / subject / f"{name}.npz",
                eeg=np.stack([rng.standard_normal(len(eeg)), eeg], axis=1), rate=128.0,
                channels=["Cz", "Pz"], sound=f"../../{name}.wav",
            )  # fmt: skip
    return folder, folder / "sae.safetensors", chosen.tolist()


def test_the_planted_latent_is_found(
    a_listener: tuple[Path, Path, list[int]], tiny_path: Path, tmp_path: Path
) -> None:
    folder, sae, chosen = a_listener
    one = folder / "people" / "s1"
    done = run(
        "lab", "eeg", sae, "--model", tiny_path, "--point", "blocks.0", "--eeg", one, "--latents", "3",
        "--permutations", "79", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["eeg.json", "eeg.md", "eeg.svg"]
    found = json.loads((tmp_path / "out" / "eeg.json").read_text())
    assert (found["about"]["channel"], found["about"]["subjects"]) == ("Pz", 1)
    by_latent = {value["latent"]: value for value in found["values"]}
    assert sorted(by_latent) == sorted(chosen)
    assert by_latent[chosen[0]]["significant"]
    assert by_latent[chosen[0]]["r"] == max(value["r"] for value in found["values"])
    assert f"| {chosen[0]} |" in done.stdout
    for value in found["values"]:
        assert 1 / 80 <= value["p"] <= value["p_holm"] <= 1


def test_of_several_subjects_the_test_is_over_subjects(
    a_listener: tuple[Path, Path, list[int]], tiny_path: Path
) -> None:
    folder, sae, chosen = a_listener
    done = run(
        "lab", "eeg", sae, "--model", tiny_path, "--point", "blocks.0", "--eeg", folder / "people",
        "--latents", "3", "--permutations", "5",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert "channel Pz, subjects 2, trials 6" in done.stdout
    best = done.stdout.splitlines()[4]
    assert best.startswith(f"| {chosen[0]} |")


def test_options_that_cannot_work_are_refused(
    a_listener: tuple[Path, Path, list[int]], tiny_path: Path, tmp_path: Path
) -> None:
    folder, sae, _ = a_listener
    args = ("lab", "eeg", sae, "--model", tiny_path, "--eeg", folder / "people")
    for extra, words in (
        (("--point", "blocks.9"), "--point takes"),
        (("--point", "blocks.0", "--channel", "Oz"), "--channel takes"),
    ):
        done = run(*args, *extra, "--out", tmp_path / "out")
        assert done.exit_code == 2
        assert words in done.stderr
        assert not (tmp_path / "out").exists()
