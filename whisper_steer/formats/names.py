"""One weight, two names: OpenAI's checkpoint and transformers' `WhisperForConditionalGeneration`."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_MODULES = {
    "blocks": "layers",
    "attn": "self_attn",
    "attn_ln": "self_attn_layer_norm",
    "cross_attn": "encoder_attn",
    "cross_attn_ln": "encoder_attn_layer_norm",
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "out": "out_proj",
    "mlp_ln": "final_layer_norm",
    "ln_post": "layer_norm",
    "ln": "layer_norm",
    "token_embedding": "embed_tokens",
}
_BACK = {theirs: ours for ours, theirs in _MODULES.items() if ours != "ln"}


def to_hf(name: str) -> str:
    """``encoder.blocks.0.mlp.2.bias`` -> ``encoder.layers.0.fc2.bias``."""
    name = name.replace("mlp.0.", "fc1.").replace("mlp.2.", "fc2.")
    name = ".".join(_MODULES.get(part, part) for part in name.split("."))
    return name.replace("positional_embedding", "embed_positions.weight")


def from_hf(name: str) -> str:
    """``encoder.layers.0.fc2.bias`` -> ``encoder.blocks.0.mlp.2.bias``."""
    name = name.replace("embed_positions.weight", "positional_embedding")
    if name.startswith("decoder.layer_norm."):
        return name.replace("layer_norm", "ln")
    name = ".".join(_BACK.get(part, part) for part in name.split("."))
    return name.replace("fc1.", "mlp.0.").replace("fc2.", "mlp.2.")


def encoder_from_hf(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An encoder's parameters under OpenAI's names, without the positions, which are a buffer there."""
    return {
        from_hf(f"encoder.{name}").removeprefix("encoder."): weight
        for name, weight in weights.items()
        if name != "embed_positions.weight"
    }
