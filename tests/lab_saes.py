"""SAE files for the tests of the laboratory."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from whisper_steer.sae.model import SAE, SAEConfig


def sae_file(folder: Path, name: str, order: torch.Tensor, n_state: int = 32) -> Path:
    """An SAE of 128 latents in another order."""
    sae = SAE(SAEConfig(n_state, 4, k=8), torch.Generator().manual_seed(3))
    sae.threshold.fill_(0.15)
    state = sae.state_dict()
    state["W_enc"], state["W_dec"] = state["W_enc"][:, order], state["W_dec"][order]
    path = folder / f"{name}.safetensors"
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path
