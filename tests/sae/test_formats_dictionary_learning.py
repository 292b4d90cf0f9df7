"""If these fail, an SAE of dictionary_learning or AudioSAE means something else here than where it was trained.

Its classes are given by their published equations; SAELens' own reader of dictionary_learning is a second opinion.
"""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from whisper_steer.errors import ArtifactError
from whisper_steer.sae.files import load
from whisper_steer.sae.model import SAE

D, N, K = 24, 70, 5
State = dict[str, Tensor]


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear() -> State:
    rows = normal(D, N, seed=3)
    return {
        "encoder.weight": normal(N, D, seed=1) / 4,
        "encoder.bias": normal(N, seed=2) / 5,
        "decoder.weight": rows / rows.norm(dim=0),
    }


def parameters() -> State:
    return {
        "W_enc": normal(D, N, seed=1) / 4,
        "b_enc": normal(N, seed=2) / 5,
        "W_dec": normal(N, D, seed=3) / 3,
        "b_dec": normal(D, seed=4) / 3,
    }


CENTRE = normal(D, seed=4) / 3
COUNT = torch.tensor(K, dtype=torch.int)
STATES: dict[str, State] = {
    "AutoEncoder": linear() | {"bias": CENTRE},
    "AutoEncoderNew": linear() | {"decoder.bias": CENTRE},
    "AutoEncoderTopK": linear() | {"b_dec": CENTRE, "k": COUNT, "threshold": torch.tensor(0.7)},
    "BatchTopKSAE": linear() | {"b_dec": CENTRE, "k": COUNT, "threshold": torch.tensor(0.7)},
    "MatryoshkaBatchTopKSAE": parameters()
    | {"k": COUNT, "threshold": torch.tensor(0.7), "group_sizes": torch.tensor([30, 40])},
    "JumpReluAutoEncoder": parameters() | {"threshold": normal(N, seed=5).abs() / 2},
}


def activations() -> Tensor:
    return normal(300, D, seed=6) * 2


def top_k(z: Tensor) -> Tensor:
    return z * (z >= z.sort(dim=-1, descending=True).values[:, K - 1 : K])


def rows(s: State) -> Tensor:
    return s["W_dec"].norm(dim=1)


Coder = Callable[[State, Tensor], Tensor]
EQUATIONS: dict[str, tuple[Coder, Coder]] = {
    "AutoEncoder": (
        lambda s, x: ((x - s["bias"]) @ s["encoder.weight"].T + s["encoder.bias"]).relu(),
        lambda s, z: z @ s["decoder.weight"].T + s["bias"],
    ),
    "AutoEncoderNew": (
        lambda s, x: (x @ s["encoder.weight"].T + s["encoder.bias"]).relu(),
        lambda s, z: z @ s["decoder.weight"].T + s["decoder.bias"],
    ),
    "AutoEncoderTopK": (
        lambda s, x: top_k(((x - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"]).relu()),
        lambda s, z: z @ s["decoder.weight"].T + s["b_dec"],
    ),
    "BatchTopKSAE": (
        lambda s, x: torch.nn.functional.threshold(
            (x - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"], float(s["threshold"]), 0.0
        ),
        lambda s, z: z @ s["decoder.weight"].T + s["b_dec"],
    ),
    "MatryoshkaBatchTopKSAE": (
        lambda s, x: torch.nn.functional.threshold(
            (x - s["b_dec"]) @ s["W_enc"] + s["b_enc"], float(s["threshold"]), 0.0
        ),
        lambda s, z: z @ s["W_dec"] + s["b_dec"],
    ),
    "JumpReluAutoEncoder": (
        lambda s, x: (
            ((x @ s["W_enc"] + s["b_enc"]) * (x @ s["W_enc"] + s["b_enc"] > s["threshold"])).relu() * rows(s)
        ),
        lambda s, z: (z / rows(s)) @ s["W_dec"] + s["b_dec"],
    ),
}


def config_of(dict_class: str) -> dict[str, Any]:
    trainer = {"dict_class": dict_class, "k": K, "activation_dim": D, "dict_size": N}
    return {"trainer": trainer | {"layer": 3, "lm_name": "a/b"}, "buffer": {"ctx_len": 8}}


def written(folder: Path, state: State, config: dict[str, Any] | None) -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / "ae.pt")
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def assert_same(sae: SAE, z: Tensor, rebuilt: Tensor) -> None:
    assert 0.01 < (z > 0).float().mean() < 0.9
    torch.testing.assert_close(sae.encode(activations()), z, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sae.reconstruct(activations()), rebuilt, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dict_class", EQUATIONS)
def test_every_class_is_read_as_its_equations_say(dict_class: str, tmp_path: Path) -> None:
    state, (encode, decode) = STATES[dict_class], EQUATIONS[dict_class]
    z = encode(state, activations())
    sae = load(written(tmp_path / "sae", state, config_of(dict_class)))
    assert_same(sae, z, decode(state, z))
    assert sae.about["format"] == "dictionary_learning"
    assert load(tmp_path / "sae" / "ae.pt").config == sae.config


@pytest.mark.parametrize("dict_class", EQUATIONS)
def test_without_its_config_a_state_is_told_by_its_tensors(dict_class: str, tmp_path: Path) -> None:
    state, (encode, decode) = STATES[dict_class], EQUATIONS[dict_class]
    z = encode(state, activations())
    sae = load(written(tmp_path / "sae", state, None))
    if dict_class == "AutoEncoderTopK":  # it has the tensors of a BatchTopKSAE, whose threshold is used
        z = EQUATIONS["BatchTopKSAE"][0](state, activations())
    assert_same(sae, z, decode(state, z))


@pytest.mark.parametrize(
    "dict_class", ["AutoEncoder", "AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"]
)
def test_saelens_reads_the_same_in_it(
    dict_class: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sae_lens = pytest.importorskip(
            "sae_lens", reason="needs SAELens: pip install 'whisper-steer[saelens]'"
        )
        from sae_lens.loading import pretrained_sae_loaders as loaders

    def local(repo_id: str, filename: str, force_download: bool) -> str:
        return str(tmp_path / filename)

    written(tmp_path / "sae", STATES[dict_class], config_of(dict_class))
    monkeypatch.setattr(loaders, "hf_hub_download", local)
    real = sae_lens.SAE.load_from_disk(
        "sae",
        converter=lambda path, device, cfg_overrides: loaders.dictionary_learning_sae_huggingface_loader_1(
            "repo", path, device
        )[:2],
    )
    with torch.no_grad():
        assert_same(load(tmp_path / "sae"), real.encode(activations()), real(activations()))


def test_a_batch_top_k_sae_stopped_before_it_had_a_threshold_is_top_k(tmp_path: Path) -> None:
    state = STATES["BatchTopKSAE"] | {"threshold": torch.tensor(-1.0)}
    sae = load(written(tmp_path / "sae", state, config_of("BatchTopKSAE")))
    assert (sae.config.activation, sae.config.k) == ("topk", K)


def test_an_early_top_k_sae_whose_k_is_in_its_config_alone_is_read(tmp_path: Path) -> None:
    state = linear() | {"b_dec": CENTRE}
    z = EQUATIONS["AutoEncoderTopK"][0](state, activations())
    sae = load(written(tmp_path / "sae", state, config_of("AutoEncoderTopK")))
    assert_same(sae, z, EQUATIONS["AutoEncoderTopK"][1](state, z))


def test_a_gated_sae_is_refused(tmp_path: Path) -> None:
    state = linear() | {"gate_bias": torch.zeros(N), "r_mag": torch.zeros(N), "decoder_bias": CENTRE}
    with pytest.raises(ArtifactError, match="Gated"):
        load(written(tmp_path / "sae", state, None))


@pytest.mark.parametrize("config", ["[1]", "{", '{"trainer": 3}'])
def test_a_broken_config_ends_in_one_line(config: str, tmp_path: Path) -> None:
    (written(tmp_path, STATES["AutoEncoder"], None) / "config.json").write_text(config)
    with pytest.raises(ArtifactError, match="damaged") as raised:
        load(tmp_path)
    assert "\n" not in str(raised.value)
