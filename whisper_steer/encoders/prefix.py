"""The first blocks of an encoder: Whisper's own modules, run up to a hook point and no further.

Listening needs no more of the encoder than that, and no hook: nothing of the model is changed, so threads, deep copies
and compiled models are safe. Hook points are named as in `whisper_steer.models.hooks`.

To listen, a CPU that multiplies bfloat16 matrices in hardware runs the blocks in it, at half the time. The embedding
before the blocks stays as stock makes it, so that stock can go on from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from whisper.model import AudioEncoder, ResidualAttentionBlock

from whisper_steer.errors import UsageError
from whisper_steer.models.hooks import hook_points, unwrap


class Prefix:
    """An encoder of openai-whisper up to ``point``, over the encoder's own weights.

    ``fast``: on a CPU that has bfloat16 in hardware in that, else in the encoder's own precision. Raises `UsageError`
    for a point that the encoder has not.
    """

    def __init__(self, encoder: nn.Module, point: str, *, fast: bool = False) -> None:
        inner: Any = unwrap(encoder)
        self.encoder = inner
        self.point = point
        self.fast = fast
        self.n_blocks = blocks_before(point, len(hook_points(encoder)) - 1)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.encoder.conv1.weight.device
        return device

    @property
    def n_mels(self) -> int:
        n_mels: int = self.encoder.conv1.in_channels
        return n_mels

    @torch.no_grad()
    def __call__(self, mel: Tensor) -> Tensor:
        """Log-mel windows (batch, mels, 3000) -> activations (batch, 1500, n_state) at the point."""
        return self.from_embedding(self.embedding(mel))

    @torch.no_grad()
    def embedding(self, mel: Tensor) -> Tensor:
        """Log-mel windows (batch, mels, 3000) -> what the first block takes: (batch, 1500, n_state), as stock's."""
        encoder = self.encoder
        x = mel.to(encoder.conv1.weight.device, encoder.conv1.weight.dtype)
        x = F.gelu(encoder.conv1(x))
        x = F.gelu(encoder.conv2(x)).permute(0, 2, 1)
        return (x + encoder.positional_embedding).to(x.dtype)

    @torch.no_grad()
    def from_embedding(self, x: Tensor) -> Tensor:
        """`embedding` -> activations (batch, 1500, n_state) at the point."""
        encoder = self.encoder
        half = self.fast and x.device.type == "cpu" and x.dtype == torch.float32 and has_fast_bfloat16()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            for block in encoder.blocks[: self.n_blocks]:
                x = block(x)
        return encoder.ln_post(x) if self.point == "ln_post" else x


@cache
def has_fast_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware, as far as PyTorch can tell."""
    cpu: Any = torch.cpu
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(getattr(cpu, name)() for name in names if hasattr(cpu, name))


def blocks_before(point: str, n_blocks: int) -> int:
    """How many blocks lie before a point. Raises `UsageError`."""
    if point == "ln_post":
        return n_blocks
    name, _, index = point.partition(".")
    if name != "blocks" or not index.isdigit() or int(index) >= n_blocks:
        raise UsageError(
            f"unknown hook point {point!r}; this encoder has blocks.0 to {n_blocks - 1}, ln_post"
        )
    return int(index) + 1


def run_from(encoder: nn.Module, point: str | None, hidden: Tensor) -> Tensor:
    """An encoder's features from activations (batch, 1500, n_state) at a point on; what lies before is not run.

    ``point`` None: from the embedding, before the first block.
    """
    whole: Any = unwrap(encoder)
    if point == "ln_post":
        return hidden
    first = 0 if point is None else blocks_before(point, len(whole.blocks))
    for block in whole.blocks[first:]:
        hidden = block(hidden)
    features: Tensor = whole.ln_post(hidden)
    return features


def share(weights: Mapping[str, Tensor], n_head: int, n_blocks: int | None = None) -> AudioEncoder:
    """An encoder of openai-whisper over weights under its names that another runtime holds, without copying them.

    ``weights`` has ``positional_embedding`` as well. ``n_blocks``: the first so many only. The other's `nn.Parameter`
    stay what they are: where they move to another device, these have moved. The weights may be of any float type:
    openai-whisper's own `LayerNorm`, which takes float32 only, gives way to PyTorch's, of the same numbers.
    """
    n_state, n_mels, _ = weights["conv1.weight"].shape
    present = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    n_blocks = present if n_blocks is None else n_blocks
    with torch.device("meta"):
        encoder = AudioEncoder(n_mels, len(weights["positional_embedding"]), n_state, n_head, 0)
        encoder.ln_post = nn.LayerNorm(n_state)
        encoder.blocks = nn.ModuleList(ResidualAttentionBlock(n_state, n_head) for _ in range(n_blocks))
    for block in encoder.blocks:
        block.attn_ln, block.mlp_ln = (
            nn.LayerNorm(n_state, device="meta"),
            nn.LayerNorm(n_state, device="meta"),
        )
    for name in [*dict(encoder.named_parameters()), "positional_embedding"]:
        owner, _, last = name.rpartition(".")
        module, weight = encoder.get_submodule(owner), weights[name]
        if last in module._parameters:
            module._parameters[last] = (
                weight if isinstance(weight, nn.Parameter) else nn.Parameter(weight, False)
            )
        else:
            module._buffers[last] = weight
    return encoder.eval()


__all__ = ["Prefix", "blocks_before", "has_fast_bfloat16", "run_from", "share"]
