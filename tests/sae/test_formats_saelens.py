"""If these fail, an SAE means something else here than in SAELens.

The real SAELens judges where it is installed; where it is not, its published equations do.
"""

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import random_sae
from safetensors.torch import load_file, save_file
from torch import Tensor

from whisper_steer.errors import ArtifactError
from whisper_steer.sae.files import load, save
from whisper_steer.sae.model import SAE

D, N = 24, 70


@pytest.fixture(scope="module")
def sae_lens() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sae_lens", reason="needs SAELens: pip install 'whisper-steer[saelens]'")


def weights(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "W_enc": normal(D, N) / 4,
        "b_enc": normal(N) / 5,
        "W_dec": normal(N, D) / 3,
        "b_dec": normal(D) / 3,
    }


def activations() -> Tensor:
    return torch.randn(300, D, generator=torch.Generator().manual_seed(3)) * 2


def thresholds() -> Tensor:
    return torch.rand(N, generator=torch.Generator().manual_seed(4)) * 0.6


CONFIGS: dict[str, dict[str, Any]] = {
    "standard": {"architecture": "standard"},
    "standard, not taken off": {"architecture": "standard", "apply_b_dec_to_input": False},
    "jumprelu": {"architecture": "jumprelu"},
    "jumprelu, rescaled inputs": {
        "architecture": "jumprelu",
        "normalize_activations": "constant_norm_rescale",
    },
    "topk": {"architecture": "topk", "k": 5},
    "topk, rescaled inputs, not taken off": {
        "architecture": "topk",
        "k": 5,
        "apply_b_dec_to_input": False,
        "normalize_activations": "constant_norm_rescale",
    },
    "topk, rescaled by rows": {"architecture": "topk", "k": 5, "rescale_acts_by_decoder_norm": True},
}


def written(folder: Path, cfg: dict[str, Any], state: dict[str, Tensor]) -> Path:
    folder.mkdir()
    (folder / "cfg.json").write_text(json.dumps({"d_in": D, "d_sae": N, "dtype": "float32", **cfg}))
    save_file(state, folder / "sae_weights.safetensors")
    return folder


def state_of(cfg: dict[str, Any]) -> dict[str, Tensor]:
    return weights() | ({"threshold": thresholds()} if cfg["architecture"] == "jumprelu" else {})


def by_its_equations(cfg: dict[str, Any], state: dict[str, Tensor], h: Tensor) -> tuple[Tensor, Tensor]:
    """Latents and reconstruction."""
    rescaled = cfg.get("normalize_activations") == "constant_norm_rescale"
    factor = math.sqrt(D) / h.norm(dim=-1, keepdim=True) if rescaled else torch.ones(len(h), 1)
    pre = (h * factor - state["b_dec"] * cfg.get("apply_b_dec_to_input", True)) @ state["W_enc"] + state[
        "b_enc"
    ]
    rows = state["W_dec"].norm(dim=1) if cfg.get("rescale_acts_by_decoder_norm") else torch.ones(N)
    pre = pre * rows
    z = pre.relu()
    if cfg["architecture"] == "jumprelu":
        z = z * (pre > state["threshold"])
    if cfg["architecture"] == "topk":
        z = z * (pre >= pre.sort(dim=-1, descending=True).values[:, cfg["k"] - 1 : cfg["k"]])
    return z, ((z / rows) @ state["W_dec"] + state["b_dec"]) / factor


def assert_same(sae: SAE, z: Tensor, rebuilt: Tensor) -> None:
    assert 0.01 < (z > 0).float().mean() < 0.9
    torch.testing.assert_close(sae.encode(activations()), z, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sae.reconstruct(activations()), rebuilt, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_its_folders_are_read_as_its_equations_say(name: str, tmp_path: Path) -> None:
    cfg, state = CONFIGS[name], state_of(CONFIGS[name])
    sae = load(written(tmp_path / "sae", cfg, state))
    assert_same(sae, *by_its_equations(cfg, state, activations()))
    assert torch.equal(load(tmp_path / "sae" / "sae_weights.safetensors").W_enc, sae.W_enc)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_real_saelens_gives_the_same_for_its_own_files(name: str, sae_lens: Any, tmp_path: Path) -> None:
    cfg = {
        "metadata": {"sae_lens_version": "6.54.0", "hook_name": "blocks.2.hook_resid_post"},
        **CONFIGS[name],
    }
    folder = written(tmp_path / "made", cfg, state_of(cfg))
    real = sae_lens.SAE.load_from_disk(folder)
    real.save_model(tmp_path / "saved")
    sae = load(tmp_path / "saved")
    assert sae.about["hook_point"] == "blocks.2"
    with torch.no_grad():
        assert_same(sae, real.encode(activations()), real(activations()))


@pytest.mark.parametrize("kind", ["batchtopk", "topk", "jumprelu", "standard"])
def test_what_the_real_saelens_trained_is_read_from_a_checkpoint_and_from_its_inference_file(
    kind: str, sae_lens: Any, tmp_path: Path
) -> None:
    classes = {"batchtopk": "BatchTopK", "topk": "TopK", "jumprelu": "JumpReLU", "standard": "Standard"}
    name = f"{classes[kind]}TrainingSAE"
    k = {"k": 5} if "topk" in kind else {}
    trained = getattr(sae_lens, name)(getattr(sae_lens, f"{name}Config")(d_in=D, d_sae=N, **k))
    with torch.no_grad():
        for part, value in weights().items():
            getattr(trained, part).copy_(value)
        if kind == "batchtopk":
            trained.topk_threshold.fill_(0.4)
        if kind == "jumprelu":
            trained.threshold.copy_(thresholds())
    trained.save_model(tmp_path / "checkpoint")
    trained.save_inference_model(tmp_path / "inference")
    real = sae_lens.SAE.load_from_disk(tmp_path / "inference")
    with torch.no_grad():
        z, rebuilt = real.encode(activations()), real(activations())
    for folder in ("inference", "checkpoint"):
        assert_same(load(tmp_path / folder), z, rebuilt)
    if kind == "batchtopk":
        assert load(tmp_path / "inference").threshold.dim() == 0  # one, though it is written for every latent


def ours(kind: str) -> SAE:
    state = weights() | {"mean": torch.zeros(D), "threshold": torch.tensor(0.1)}
    if kind == "centred":
        state["mean"] = torch.randn(D, generator=torch.Generator().manual_seed(5))
    if kind == "JumpReLU, raw":
        return SAE.of(state | {"threshold": thresholds()}, 4, frame_norm=1.0)
    if kind == "centred and divided":
        state["mean"] = torch.ones(D)
        return SAE.of(state, 4, frame_norm=2.5)
    if kind == "ReLU":
        state["threshold"] = torch.zeros(())
    return SAE.of(state, 4, "topk" if kind == "top-k" else "threshold")


KINDS = ("unit norm", "centred", "JumpReLU, raw", "centred and divided", "ReLU", "top-k")


@pytest.mark.parametrize("kind", KINDS)
def test_the_real_saelens_reads_what_we_write(kind: str, sae_lens: Any, tmp_path: Path) -> None:
    sae = ours(kind)
    sae.about = {"hook_point": "blocks.1", "model": "tiny.en"}
    save(sae, tmp_path / "sae", "saelens")
    real = sae_lens.SAE.load_from_disk(tmp_path / "sae")
    assert (real.cfg.metadata.hook_name, real.cfg.metadata.model_name) == ("blocks.1", "tiny.en")
    mean = load_file(tmp_path / "sae" / "activation_mean.safetensors")["mean"] if kind == "centred" else 0
    assert (tmp_path / "sae" / "activation_mean.safetensors").exists() == (kind == "centred")
    with torch.no_grad():
        assert_same(sae, real.encode(activations() - mean), real(activations() - mean) + mean)
    real.save_model(tmp_path / "again")
    if kind != "centred":
        assert_same(load(tmp_path / "again"), sae.encode(activations()), sae.reconstruct(activations()))


@pytest.mark.parametrize(
    ("cfg", "why"),
    [
        ({"architecture": "gated"}, "'gated'"),
        ({"architecture": "transcoder"}, "'transcoder'"),
        ({"normalize_activations": "layer_norm"}, "'layer_norm'"),
        ({"normalize_activations": "covariance_whitening"}, "'covariance_whitening'"),
        ({"normalize_activations": "expected_average_only_in"}, "fold_activation_norm_scaling_factor"),
        ({"normalize_activations": True}, "fold_activation_norm_scaling_factor"),
        ({"reshape_activations": "hook_z"}, "reshapes"),
        ({"finetuning_scaling_factor": True}, "rescales"),
        ({"architecture": "topk", "k": 0}, "is damaged"),
        ({"architecture": "topk", "k": N + 1}, "is damaged"),
        ({"k": "many"}, "is damaged"),
        ({"metadata": 3}, "is damaged"),
    ],
)
def test_what_cannot_be_computed_here_is_refused_in_one_line(
    cfg: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError, match=why) as raised:
        load(written(tmp_path / "sae", cfg, weights()))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("missing", ["W_enc", "b_dec"])
def test_a_folder_that_lacks_a_tensor_is_damaged(missing: str, tmp_path: Path) -> None:
    state = {name: value for name, value in weights().items() if name != missing}
    with pytest.raises(ArtifactError, match="is damaged"):
        load(written(tmp_path / "sae", {"architecture": "standard"}, state))


def test_a_lost_mean_is_told_and_a_broken_config_too(tmp_path: Path) -> None:
    save(ours("centred"), tmp_path / "sae", "saelens")
    (tmp_path / "sae" / "activation_mean.safetensors").unlink()
    with pytest.raises(ArtifactError, match="activation_mean"):
        load(tmp_path / "sae")
    (tmp_path / "sae" / "cfg.json").write_text("[1]")
    with pytest.raises(ArtifactError, match="holds no object"):
        load(tmp_path / "sae")


def test_a_top_k_sae_of_before_6_0_is_read(tmp_path: Path) -> None:
    cfg = {
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 5},
        "hook_point": "blocks.3.hook_resid_post",
        "normalize_activations": "none",
    }
    sae = load(written(tmp_path / "sae", cfg, weights()))
    assert sae.about["hook_point"] == "blocks.3"
    assert_same(sae, *by_its_equations({"architecture": "topk", "k": 5}, weights(), activations()))


def test_an_sae_of_ours_keeps_its_k_in_its_format(tmp_path: Path) -> None:
    save(random_sae(), tmp_path / "sae", "saelens")
    assert load(tmp_path / "sae").config == random_sae().config
