"""If these fail, the command counts other latents than those that are active, or at another point."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import run
from lab_saes import sae_file

from whisper_steer.data.clips import Clip
from whisper_steer.lab.domains import activity_of, specialists
from whisper_steer.lab.frames import Frames
from whisper_steer.sae.model import SAE, SAEConfig


@pytest.fixture
def planted() -> tuple[SAE, Frames]:
    """Activations along one axis in speech, another in music, a third in sounds; latent i of the SAE reads axis i."""
    sae = SAE(SAEConfig(4, 1, k=1)).requires_grad_(False)
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(4))
        sae.W_dec.copy_(torch.eye(4))
    clips, hidden, clip = [], [], []
    for i in range(24):
        axis = i % 3
        kind, dataset = (("speech", "read"), ("nonspeech", "instruments"), ("nonspeech", "rain"))[axis]
        clips.append(Clip(kind, "test", f"g{i}", np.zeros(1, np.float32), dataset))  # type: ignore[arg-type]
        frames = np.zeros((5 + i, 4), np.float16)
        frames[:, axis], frames[:, 3] = 2, 1
        hidden.append(frames)
        clip.append(np.full(5 + i, i))
    return sae, Frames(np.concatenate(hidden), np.concatenate(clip), clips)


def test_planted_specialists_are_found(planted: tuple[SAE, Frames]) -> None:
    value, found = specialists(*planted)
    for latent, (name, heard) in enumerate(
        (("speech", "read"), ("music", "instruments"), ("environment", "rain"))
    ):
        counts = value["domains"][name]["latents"]
        assert set(counts.values()) == {1}
        best = value["domains"][name]["strongest"][0]
        assert (best["latent"], best["inside"], best["outside"]) == (latent, 1, 0)
        assert best["heard in"] == {heard: 1}
        assert found[name].frames_in[3] == found[name].frames_out[3] == 1
    assert value["speech"]["latent"] == 0 and value["speech"]["auroc"]["value"] == 1


def test_activity_is_counted_clip_by_clip(planted: tuple[SAE, Frames]) -> None:
    sae, frames = planted
    activity = activity_of(sae, frames)
    z = sae.encode(torch.from_numpy(frames.hidden).float()).numpy()
    for i in (0, 7, 23):
        np.testing.assert_allclose(activity.active[i], (z[frames.clip == i] > 0).sum(axis=0))
        np.testing.assert_allclose(activity.strength[i], z[frames.clip == i].mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(activity.frames, np.arange(5, 29))


def test_two_points_are_read_in_one_call(tiny_path: Path, manifest: str, tmp_path: Path) -> None:
    files = [sae_file(tmp_path, name, torch.arange(128)) for name in "ab"]
    options = ["--model", tiny_path, "--point", "blocks.0", "--data", manifest, "--clips", 2]
    result = run("lab", "domains", *files, *options, "--point", "ln_post", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "| blocks.0 |" in result.output and "| ln_post |" in result.output
    values = json.loads((tmp_path / "out" / "domains.json").read_text())["values"]
    assert [value["point"] for value in values] == ["blocks.0", "ln_post"]
    assert set(values[0]["domains"]) == {"speech", "environment"}
    assert (tmp_path / "out" / "domains.svg").read_text().startswith("<svg")
    unpaired = run("lab", "domains", *files, *options)
    assert unpaired.exit_code == 2 and "2 SAEs but 1 points" in unpaired.output
