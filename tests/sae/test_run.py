"""If these fail, ``whisper-steer sae train`` does not end in SAEs that load, or not in the same ones after a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from bench import corpus
from helpers import run as command
from helpers import small_hubert

from whisper_steer.data.clips import Clip
from whisper_steer.data.load import load
from whisper_steer.errors import UsageError
from whisper_steer.files.lock import LOCK
from whisper_steer.sae import run, train
from whisper_steer.sae.files import load as load_sae
from whisper_steer.sae.plan import Plan
from whisper_steer.sae.processes import Processes
from whisper_steer.sae.run import Job, chosen_points
from whisper_steer.sae.stack import Stack

PLAN = Plan(k=4, expansion=2, steps=30, batch=64, learning_rate=0.02)
NAMES = ["blocks.0", "ln_post", "soft-frozen-blocks.0", "soft-frozen-ln_post"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"manifest:{corpus(tmp_path_factory.mktemp('corpus'), per_split=2)}"


@pytest.fixture(scope="module")
def clips(data: str) -> list[Clip]:
    return load(data)


@pytest.fixture(scope="module")
def trained(tiny_path: Path, data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command wrote."""
    out = tmp_path_factory.mktemp("saes") / "out"
    asked = [*_asked(tiny_path, data, "blocks.0,ln_post"), "--control", "soft-frozen", "--loss-clips", "1"]
    result = command(*asked, "--out", out)
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stdout.splitlines() if line.startswith("|")]
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {name}" for name in NAMES]
    return out


def test_each_sae_is_a_file_of_its_own(trained: Path) -> None:
    files = [*(f"{name}.safetensors" for name in NAMES), "log.jsonl", "log.svg"]
    assert {path.name for path in trained.iterdir()} - {LOCK} == set(files)
    sae = load_sae(trained / "blocks.0.safetensors")
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(64), atol=1e-3, rtol=0)
    assert sae.config.k == 4 and sae.about["control"] is None
    about = load_sae(trained / "soft-frozen-ln_post.safetensors").about
    assert (about["hook_point"], about["control"]) == ("ln_post", "soft-frozen")
    assert about["fingerprint"].startswith("sha256:")
    assert about["training"]["kind"] == "batch-topk" and about["training"]["steps"] == 30


def test_the_log_tells_how_it_went(trained: Path) -> None:
    rows = _rows(trained)
    assert [row["sae"] for row in rows] == NAMES * 10
    assert [row["step"] for row in rows[::4]] == [*range(3, 30, 3), 30]
    first, last = rows[0], rows[-4]
    assert last["explained_variance"] > first["explained_variance"] and 0 <= last["dead"] < 1
    assert {"loss_recovered", "ce_clean", "ce_sae", "ce_ablated", "wer_sae"} <= last.keys()
    assert "loss_recovered" not in first
    assert (trained / "log.svg").read_text().startswith("<svg")


def test_a_killed_command_ends_in_the_same_files(
    trained: Path, tiny_path: Path, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(
        str(tiny_path),
        clips,
        "blocks.0,ln_post",
        tmp_path,
        PLAN,
        ("soft-frozen",),
        loss_clips=1,
        device="cpu",
    )
    monkeypatch.setattr(train, "SAVE_SECONDS", -1.0)
    learn = Stack.learn

    def dying(stack: Stack, h: torch.Tensor, step: int) -> None:
        if step == 22:
            raise KeyboardInterrupt
        learn(stack, h, step)

    monkeypatch.setattr(Stack, "learn", dying)
    with pytest.raises(KeyboardInterrupt):
        run.run(job, Processes())
    taken: list[int] = []
    monkeypatch.setattr(Stack, "learn", lambda stack, h, step: taken.append(step) or learn(stack, h, step))
    run.run(job, Processes())
    assert taken == list(range(22, 30))
    for path in trained.iterdir():
        if path.name not in (LOCK, "log.svg"):
            assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    with pytest.raises(UsageError, match="name a new folder"):
        run.run(job, Processes())


def test_records_give_the_same_saes(trained: Path, tiny_path: Path, data: str, tmp_path: Path) -> None:
    asked = [*_asked(tiny_path, data, "blocks.0"), "--loss-clips", "0", "--record", tmp_path / "record"]
    assert command(*asked, "--out", tmp_path / "out").exit_code == 0
    found, expected = (load_sae(each / "blocks.0.safetensors") for each in (tmp_path / "out", trained))
    torch.testing.assert_close(found.W_dec, expected.W_dec, atol=2e-2, rtol=0)
    assert sorted(path.suffix for path in (tmp_path / "record").iterdir()) == [".frames", ".json"]


@pytest.mark.parametrize("kind", ["topk", "relu", "jumprelu"])
def test_the_other_kinds_are_written(kind: str, tiny_path: Path, data: str, tmp_path: Path) -> None:
    asked = [
        *_asked(tiny_path, data, "blocks.0"),
        "--loss-clips",
        "0",
        "--kind",
        kind,
        "--control",
        "frozen-decoder",
    ]
    assert command(*asked, "--out", tmp_path).exit_code == 0
    sae = load_sae(tmp_path / "frozen-decoder-blocks.0.safetensors")
    assert sae.about["training"]["kind"] == kind
    assert list(sae.threshold.shape) == ([64] if kind == "jumprelu" else [])
    assert sae.config.activation == ("topk" if kind == "topk" else "threshold")


def test_hubert_is_trained_on_without_a_decoder(data: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = small_hubert(tmp_path / "hubert", layer_norm_first=True)
    assert command(*_asked(folder, data, "all"), "--augment", "--out", tmp_path / "out").exit_code == 0
    assert {row["sae"] for row in _rows(tmp_path / "out")} == {"blocks.0", "blocks.1", "blocks.2"}
    assert not any("loss_recovered" in row for row in _rows(tmp_path / "out"))
    assert load_sae(tmp_path / "out" / "blocks.2.safetensors").W_dec.shape == (48, 24)


def test_hook_points_are_named_or_all() -> None:
    points = ["blocks.0", "blocks.1", "ln_post"]
    assert chosen_points("all", points) == points
    assert chosen_points("ln_post, blocks.0,ln_post", points) == ["ln_post", "blocks.0"]
    for wrong in ("blocks.2", ""):
        with pytest.raises(UsageError, match="hook point"):
            chosen_points(wrong, points)


@pytest.mark.slow
def test_two_processes_share_the_points(trained: Path, tiny_path: Path, data: str, tmp_path: Path) -> None:
    """As `torchrun` and `accelerate launch` start them."""
    pytest.importorskip("accelerate")
    asked = [*_asked(tiny_path, data, "blocks.0,ln_post"), "--control", "soft-frozen", "--loss-clips", "1"]
    program = "from whisper_steer.cli import main; main()"
    parts = [
        subprocess.Popen(
            [sys.executable, "-c", program, *map(str, asked), "--out", str(tmp_path)],
            env=os.environ
            | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
            | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [part.communicate(timeout=300) for part in parts]
    assert [part.returncode for part in parts] == [0, 0], told
    assert told[1][0] == "" and told[0][0].count("\n") == 6
    assert {row["sae"] for row in _rows(tmp_path)} == set(NAMES) and len(_rows(tmp_path)) == 40
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in trained.iterdir()}
    for name in NAMES:
        found, expected = (load_sae(each / f"{name}.safetensors") for each in (tmp_path, trained))
        torch.testing.assert_close(found.W_dec, expected.W_dec, atol=2e-2, rtol=0)


def _asked(model: Path, data: str, points: str) -> list[str | Path]:
    asked: list[str | Path] = ["sae", "train", model, "--data", data, "--points", points, "--k", "4"]
    asked += ["--expansion", "2", "--steps", "30", "--batch", "64", "--learning-rate", "0.02"]
    return [*asked, "--device", "cpu"]


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
