"""If these fail, the command compares other SAEs than were named, or other frames."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import run
from lab_saes import sae_file

from whisper_steer.errors import UsageError
from whisper_steer.lab.stability import short_names
from whisper_steer.pages.choose import read_stability


def test_an_sae_in_another_order_is_covered_whole(tiny_path: Path, manifest: str, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    files = [
        sae_file(tmp_path, "a", torch.arange(128)),
        sae_file(tmp_path, "b", torch.randperm(128, generator=generator)),
    ]
    options = ["--model", tiny_path, "--point", "blocks.0", "--data", manifest, "--clips", 2]
    result = run("lab", "stability", *files, *options, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "| blocks.0 | a | b |" in result.output and "| blocks.0 | b | a |" in result.output
    content = json.loads((tmp_path / "out" / "stability.json").read_text())
    assert content["about"]["clips"] == 4 and content["about"]["frames"] == 4 * 50
    for value in content["values"]:
        assert value["alive"] > 0 and value["coverage"]["value"] == value["near"] == 1
        assert sum(value["iou"]) == value["iou"][-1] == value["alive"]
        known = read_stability(tmp_path / "out" / "stability.json", tmp_path / value["sae"], 128)
        assert (
            int((known == 1).sum()) == value["alive"] and int(np.isnan(known).sum()) == 128 - value["alive"]
        )
    assert (tmp_path / "out" / "stability.svg").read_text().startswith("<svg")


def test_folders_of_a_training_are_compared_at_several_hook_points(
    tiny_path: Path, manifest: str, tmp_path: Path
) -> None:
    folders = [tmp_path / seed for seed in "01"]
    for folder in folders:
        folder.mkdir()
        for point in ("blocks.0", "blocks.1"):
            sae_file(folder, point, torch.arange(128))
    asked = [
        "--model",
        tiny_path,
        "--point",
        "blocks.1",
        "--point",
        "blocks.0",
        "--data",
        manifest,
        "--clips",
        2,
    ]
    result = run("lab", "stability", *folders, *asked, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    values = json.loads((tmp_path / "out" / "stability.json").read_text())["values"]
    assert [(v["point"], v["sae"], v["other"]) for v in values] == [
        (point, a, b) for point in ("blocks.1", "blocks.0") for a, b in (("0", "1"), ("1", "0"))
    ]
    file = folders[0] / "blocks.0.safetensors"
    known = read_stability(tmp_path / "out" / "stability.json", file, 128)
    assert int((known == 1).sum()) == values[-1]["alive"]
    result = run("lab", "stability", file, folders[1], *asked)
    assert result.exit_code == 2 and "is no folder" in result.output


def test_what_cannot_be_compared_is_told_in_a_line(tiny_path: Path, manifest: str, tmp_path: Path) -> None:
    a = sae_file(tmp_path, "a", torch.arange(128))
    narrow = sae_file(tmp_path, "narrow", torch.arange(64), n_state=16)
    options = ["--model", tiny_path, "--point", "blocks.0", "--data", manifest]
    for files, said in (([a], "two or more"), ([a, a], "twice"), ([a, narrow], "narrow reads 16 dimensions")):
        result = run("lab", "stability", *files, *options)
        assert result.exit_code == 2 and said in result.output


def test_names_are_as_short_as_can_be() -> None:
    assert short_names((Path("x/a.safetensors"), Path("y/b"))) == ["a", "b"]
    assert short_names((Path("x/1/a.pt"), Path("x/2/a.pt"))) == ["1/a", "2/a"]
    with pytest.raises(UsageError):
        short_names((Path("a"), Path("a")))
