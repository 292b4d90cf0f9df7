"""If these fail, AudioSAE's released SAEs are read at another block, or other latents are active than theirs."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from whisper_steer.errors import ArtifactError, UsageError
from whisper_steer.sae.calibrate import calibrated
from whisper_steer.sae.files import load

D, N, K = 24, 192, 6


def state(scale: float = 0.1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(D, N, generator=generator)
    return {
        "encoder.weight": torch.randn(N, D, generator=generator) / 2,
        "encoder.bias": torch.randn(N, generator=generator) / 20,
        "decoder.weight": rows / rows.norm(dim=0),
        "b_dec": torch.randn(D, generator=generator) * scale,
        "k": torch.tensor(K, dtype=torch.int),
    }


def activations() -> Tensor:
    return torch.randn(150, D, generator=torch.Generator().manual_seed(1)) * 9


def before(s: dict[str, Tensor], x: Tensor) -> Tensor:
    return ((x - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"]).relu()


def unit(h: Tensor) -> Tensor:
    return h / h.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_release_is_top_k_on_inputs_of_norm_1_at_the_block_before_its_number(
    suffix: str, tmp_path: Path
) -> None:
    folder = tmp_path / "layer_6"
    folder.mkdir()
    path = folder / f"ae.{suffix}"
    if suffix == "pt":
        torch.save(state(), path)
        (folder / "config.json").write_text('{"activation_dim": 24, "lm_name": "openai/whisper-small"}')
    else:
        save_file(state(), path)
    sae = load(path)
    assert sae.about["hook_point"] == "blocks.5"
    assert (sae.about.get("model") == "openai/whisper-small") == (suffix == "pt")
    assert (sae.config.activation, sae.config.k, sae.config.frame_norm) == ("topk", K, None)
    z, h = before(state(), unit(activations())), activations()
    expected = torch.zeros_like(z)
    for i, frame in enumerate(z):
        for j in frame.argsort(descending=True)[:K].tolist():
            expected[i, j] = frame[j]
    torch.testing.assert_close(sae.encode(h), expected, atol=1e-5, rtol=1e-5)
    rebuilt = (expected @ state()["decoder.weight"].T + state()["b_dec"]) * h.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(sae.reconstruct(h), rebuilt, atol=1e-4, rtol=1e-4)


def test_calibrated_it_stands_alone_with_as_many_latents_a_frame(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "ae.pt")
    sae = load(tmp_path)
    with pytest.raises(UsageError, match="calibrated"):
        sae.latents(torch.tensor([1]))
    made = calibrated(sae, activations())
    z = made.encode(activations())
    assert int((z > 0).sum()) == K * len(z)
    torch.testing.assert_close(made.latents(torch.tensor([1, 9])).encode(activations())[0], z[:, [1, 9]])


def test_a_centre_that_no_inputs_of_norm_1_have_tells_raw_ones(tmp_path: Path) -> None:
    torch.save(state(scale=3.0), tmp_path / "ae.pt")
    sae = load(tmp_path)
    assert sae.config.frame_norm == 1.0
    assert sae.about["inputs"] == "as they are"
    z = before(state(scale=3.0), activations())
    torch.testing.assert_close(sae.encode(activations()).amax(dim=1), z.amax(dim=1), atol=1e-4, rtol=1e-5)


def test_a_release_with_a_threshold_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "layer_1").mkdir()
    torch.save(state() | {"threshold": torch.tensor(0.4)}, tmp_path / "layer_1" / "ae.pt")
    sae = load(tmp_path / "layer_1")
    assert sae.about["hook_point"] == "blocks.0"
    z = before(state(), unit(activations()))
    torch.testing.assert_close(sae.encode(activations()), z * (z > 0.4), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "change", [{"k": torch.tensor([1, 2])}, {"b_dec": torch.zeros(3)}, {"k": torch.tensor(0)}]
)
def test_a_damaged_release_ends_in_one_line(change: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(state() | change, tmp_path / "ae.pt")
    with pytest.raises(ArtifactError, match="is damaged") as raised:
        load(tmp_path)
    assert "\n" not in str(raised.value)
