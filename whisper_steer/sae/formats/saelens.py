"""SAELens folders (github.com/decoderesearch/SAELens, 6.54): ``cfg.json`` and ``sae_weights.safetensors``.

Its ``constant_norm_rescale`` brings each frame to norm sqrt(d), ours to 1: the factor moves into the weights, latents
stay the same. It centres no input, ours may be centred before they are scaled; then the mean lies beside, and SAELens
gives our latents for ``h - mean``.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from whisper_steer.errors import ArtifactError
from whisper_steer.files.card import damaged
from whisper_steer.files.replace import replacing
from whisper_steer.sae.formats.dictionary_learning import not_taken_off
from whisper_steer.sae.formats.tensors import built, read_config, read_tensors
from whisper_steer.sae.model import SAE, Activation

CONFIG, WEIGHTS, MEAN = "cfg.json", "sae_weights.safetensors", "activation_mean.safetensors"
VERSION = "6.54.0"
"""whose layout is written"""
ARCHITECTURES = ("standard", "topk", "batchtopk", "jumprelu")


def read(folder: Path) -> SAE:
    """The SAE of a folder. Raises `ArtifactError` for a damaged one, and for a kind that cannot be computed here."""
    cfg = read_config(folder / CONFIG)
    tensors, _ = read_tensors(folder / WEIGHTS)
    metadata = cfg.get("metadata") or cfg  # before 6.0 all lay side by side
    try:
        architecture, k = _architecture(folder, cfg)
        unit = _normalisation(folder, cfg) == "constant_norm_rescale"
        state = {name: tensors[name].float() for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
        if "log_threshold" in tensors:
            state["threshold"] = tensors["log_threshold"].exp()
        for name in ("threshold", "topk_threshold"):
            if name in tensors and architecture != "topk":
                state["threshold"] = tensors[name].float()
        state["threshold"] = _one_if_all_equal(state.get("threshold", torch.zeros(())))
        if cfg.get("rescale_acts_by_decoder_norm", architecture == "batchtopk"):
            rows = state["W_dec"].norm(dim=1)
            state |= {"W_enc": state["W_enc"] * rows, "b_enc": state["b_enc"] * rows}
            state["W_dec"] = state["W_dec"] / rows[:, None]
        if not cfg.get("apply_b_dec_to_input", True):
            state = not_taken_off(state)
        if unit:
            root = math.sqrt(state["W_enc"].shape[0])
            state |= {
                "W_enc": state["W_enc"] * root,
                "W_dec": state["W_dec"] / root,
                "b_dec": state["b_dec"] / root,
            }
        kept = metadata.get("whisper_steer") or {}
        if kept.get("centred"):
            state["mean"] = read_tensors(folder / MEAN)[0]["mean"]
        about = dict(kept.get("about") or {}) if kept else _about(metadata)
        k = int(k or kept.get("k", 0))
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise damaged(folder, error) from error
    activation: Activation = "topk" if architecture == "topk" else "threshold"
    return built(folder, state, k, activation, None if unit else 1.0, about)


def write(sae: SAE, folder: Path) -> None:
    """A new folder, whole or not at all. Raises `UsageError` where there is something else, `OSError`."""
    cfg, state = _written(sae)
    with replacing(folder, "SAE", lambda card: ()) as made:
        save_file(state, made / WEIGHTS)
        if cfg["metadata"]["whisper_steer"]["centred"]:
            save_file({"mean": sae.mean.detach().cpu().contiguous()}, made / MEAN)
        (made / CONFIG).write_text(json.dumps(cfg, indent=1) + "\n", encoding="utf-8")


@torch.no_grad()
def _written(sae: SAE) -> tuple[dict[str, Any], dict[str, Tensor]]:
    config, norm = sae.config, sae.config.frame_norm
    # x = (h - mean) / norm there; here each frame is brought to norm sqrt(d), or taken as it is
    by = math.sqrt(config.n_state) if norm is None else norm
    state = {
        "W_enc": sae.W_enc / by,
        "b_enc": sae.b_enc,
        "W_dec": sae.W_dec * by,
        "b_dec": sae.b_dec * by + (0 if norm is None else sae.mean),
    }
    if config.activation == "topk":
        architecture = "topk"
    elif bool((sae.threshold <= 0).all()):
        architecture = "standard"
    else:
        architecture, state["threshold"] = "jumprelu", sae.threshold.expand(config.n_latents)
    cfg = {
        "architecture": architecture,
        "d_in": config.n_state,
        "d_sae": config.n_latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "constant_norm_rescale" if norm is None else "none",
        "reshape_activations": "none",
        "metadata": {
            "sae_lens_version": VERSION,
            "model_name": sae.about.get("model"),
            "hook_name": sae.about.get("hook_point"),
            "whisper_steer": {
                "k": config.k,
                "centred": norm is None and bool(sae.mean.any()),
                "about": sae.about,
            },
        },
    }
    if architecture == "topk":
        cfg |= {"k": config.k, "rescale_acts_by_decoder_norm": False}
    return cfg, {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}


def _architecture(folder: Path, cfg: dict[str, Any]) -> tuple[str, int]:
    architecture, k = cfg.get("architecture", "standard"), int(cfg.get("k", 0))
    if cfg.get("activation_fn_str", cfg.get("activation_fn")) == "topk":  # before 6.0
        architecture, k = "topk", int((cfg.get("activation_fn_kwargs") or {})["k"])
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ArtifactError(f"{folder} is an SAE of architecture {architecture!r}: only {known} can be read")
    if cfg.get("reshape_activations", "none") != "none" or cfg.get("finetuning_scaling_factor"):
        raise ArtifactError(
            f"{folder} reshapes or rescales what it reads, which is not supported: train one without"
        )
    return architecture, k


def _normalisation(folder: Path, cfg: dict[str, Any]) -> str:
    found = cfg.get("normalize_activations") or "none"
    if found in (True, "expected_average_only_in"):
        raise ArtifactError(
            f"{folder} scales its inputs by a number that is not in it: "
            "call fold_activation_norm_scaling_factor of SAELens and save it again"
        )
    if found not in ("none", "constant_norm_rescale"):
        raise ArtifactError(
            f"{folder} normalises its inputs by {found!r}, which is not supported: use none or constant_norm_rescale"
        )
    return str(found)


def _one_if_all_equal(threshold: Tensor) -> Tensor:
    """A Batch-Top-K SAE has one threshold, which SAELens writes once for each latent."""
    return threshold[0] if threshold.dim() and bool((threshold == threshold[0]).all()) else threshold


def _about(metadata: dict[str, Any]) -> dict[str, Any]:
    about: dict[str, Any] = {"format": "SAELens"}
    if metadata.get("model_name"):
        about["model"] = metadata["model_name"]
    point = str(metadata.get("hook_name") or metadata.get("hook_point") or "")
    if found := re.fullmatch(r"(blocks\.\d+)(\.hook_resid_post)?|ln_post", point):
        about["hook_point"] = found[1] or point
    return about
