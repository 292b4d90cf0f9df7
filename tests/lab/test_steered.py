"""If these fail, the sanity check on steering favours one dictionary over another."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bench import corpus
from helpers import a_silence, random_sae, run
from safetensors.torch import save_file

from whisper_steer.lab import steered
from whisper_steer.lab.steered import EVERYWHERE, HERE, STRENGTHS, equally_long, size
from whisper_steer.sae.model import normalise
from whisper_steer.steer.silence import where_nobody_speaks


def test_every_edit_is_as_long_as_the_first() -> None:
    """In each frame, whatever its level; and directions act where the first one's condition holds, alone."""
    first, other = (a_silence(random_sae(seed=seed)) for seed in (0, 1))
    other = replace(other, change=5 * other.change)
    direction = torch.randn(32, generator=torch.Generator().manual_seed(0))
    ways = equally_long({"first": first, "other": other}, {"direction": direction})
    h = 3 * torch.randn(2, 200, 32, generator=torch.Generator().manual_seed(1))
    holds = first.condition.holds(h)
    for name, (_, everywhere) in ways.items():
        scale = normalise(h, (other if name == "other" else first).latents.mean)[1][..., 0]
        torch.testing.assert_close(everywhere(h, 2.0).norm(dim=-1), 2 * size(first) * scale, msg=name)
    assert torch.equal(ways["first"][0](h, 1.0), where_nobody_speaks(h, first, 1.0))
    expected = ways["direction"][1](h, 1.0) * holds[..., None]
    assert torch.equal(ways["direction"][0](h, 1.0), expected)


@pytest.mark.slow
def test_the_command_measures_all_and_resumes(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steered, "fit_one", lambda _model, _point, sae, _heard: a_silence(sae))  # slow
    manifest = corpus(tmp_path)
    for seed, name in enumerate(("trained", "control")):
        save_file(
            {k: v.contiguous() for k, v in random_sae(seed=seed).state_dict().items()},
            tmp_path / f"{name}.safetensors",
        )
    saes = [
        part for name in ("trained", "control") for part in ("--sae", f"{name}={tmp_path / name}.safetensors")
    ]
    out = tmp_path / "run"
    command = ["lab", "sanity", tiny_path, "--point", "blocks.0", *saes, "--data", f"manifest:{manifest}"]
    done = run(*command, "--limit", "2", "--device", "cpu", "--out", out)
    assert done.exit_code == 0, done.stderr
    values = json.loads((out / "sanity.json").read_text())["values"]
    names = {value["name"] for value in values}
    kinds = ["trained", "control", "mean difference", "PCA", "random direction"]
    assert names == {
        "stock",
        *(f"{kind}, {HERE}@{s:g}" for kind in kinds for s in STRENGTHS),
        *(f"{kind}, {EVERYWHERE}@1" for kind in kinds),
    }
    again = run(*command, "--limit", "2", "--device", "cpu", "--out", out)
    assert again.stdout == done.stdout
    one = run(*command, "--limit", "2", "--strength", "0.7", "--device", "cpu", "--out", tmp_path / "one")
    assert one.exit_code == 0 and f"trained, {HERE}@0.7" in (tmp_path / "one" / "sanity.json").read_text()
    wrong = run(*command[:5], "--sae", "trained", "--data", "synthetic", "--out", out)
    assert wrong.exit_code == 2 and "write NAME=FILE" in wrong.stderr
