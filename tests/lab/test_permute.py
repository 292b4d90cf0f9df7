"""If these fail, the model of the control is not one that learned nothing with the statistics of one that did."""

from pathlib import Path

import torch
from helpers import run

from whisper_steer.models.load import load_model


def test_every_tensor_of_the_encoder_keeps_its_entries_and_the_decoder_all(
    tiny_path: Path, tmp_path: Path
) -> None:
    done = run("lab", "permute", tiny_path, "--out", tmp_path / "permuted.pt")
    assert done.exit_code == 0, done.output
    before, after = (load_model(path, "cpu") for path in (tiny_path, tmp_path / "permuted.pt"))
    state = after.state_dict()
    for name, value in before.state_dict().items():
        moved = name.startswith("encoder.") and value.unique().numel() > 1 and "positional" not in name
        assert torch.equal(value, state[name]) != moved, name
        assert torch.equal(value.flatten().sort().values, state[name].flatten().sort().values), name


def test_another_seed_permutes_otherwise(tiny_path: Path, tmp_path: Path) -> None:
    for seed in (0, 0, 1):
        run("lab", "permute", tiny_path, "--seed", seed, "--out", tmp_path / f"{seed}.pt")
    first, other = (load_model(tmp_path / f"{seed}.pt", "cpu").encoder.conv2.weight for seed in (0, 1))
    assert not torch.equal(first, other)
