"""If these fail, SAEs cannot be trained again, or a kill costs more than the steps since the last save."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from whisper.model import Whisper

from lab import saes
from lab.stack import Plan, Stack
from whisper_steer.errors import UsageError
from whisper_steer.files.lock import LOCK
from whisper_steer.sae.model import SAE, SAEConfig

PLAN = Plan(steps=40, batch=256, k=4, expansion=2, learning_rate=0.05, threshold_from=0.25)


def test_training_learns_and_goes_on_where_it_was_killed(
    tiny_model: Whisper, scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saes, "SAVE_EVERY", 15)
    monkeypatch.setattr(saes, "HELD_OUT", 2000)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    saes.train(tiny_model.encoder, scene_folder, PLAN, ["blocks.1"], whole)

    learn = Stack.learn

    def dying(stack: Stack, h: torch.Tensor, step: int) -> None:
        if step == 33:
            raise KeyboardInterrupt
        learn(stack, h, step)

    monkeypatch.setattr(Stack, "learn", dying)
    with pytest.raises(KeyboardInterrupt):
        saes.train(tiny_model.encoder, scene_folder, PLAN, ["blocks.1"], killed)
    with pytest.raises(UsageError, match="state of another training"):
        saes.train(tiny_model.encoder, scene_folder, PLAN, [], killed)
    taken: list[int] = []
    monkeypatch.setattr(Stack, "learn", lambda stack, h, step: taken.append(step) or learn(stack, h, step))
    saes.train(tiny_model.encoder, scene_folder, PLAN, ["blocks.1"], killed)
    assert taken == list(range(30, 40))

    names = ["blocks.0", "blocks.1", "ln_post", "soft-frozen-blocks.1"]
    files = [*(f"{name}.safetensors" for name in names), "log.json"]
    assert {path.name for path in killed.iterdir()} - {LOCK} == set(files)
    for name in files:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name

    log = json.loads((whole / "log.json").read_text())
    assert log["points"] == names[:3] and log["soft_frozen"] == ["blocks.1"]
    assert [entry["step"] for entry in log["log"]] == [*range(0, 40, 4), 40]
    for first, last in zip(log["log"][1]["quality"], log["log"][-1]["quality"], strict=True):
        assert last[0] > first[0]
    sae = SAE(SAEConfig(32, 2, 4))
    sae.load_state_dict(load_file(whole / "blocks.0.safetensors"))
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(64), atol=1e-3, rtol=0)
    with pytest.raises(UsageError, match="finished training"):
        saes.train(tiny_model.encoder, scene_folder, PLAN, ["blocks.1"], whole)
    with pytest.raises(UsageError, match="unknown hook point"):
        saes.train(tiny_model.encoder, scene_folder, PLAN, ["blocks.9"], tmp_path / "new")
