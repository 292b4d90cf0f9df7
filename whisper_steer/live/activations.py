"""The first blocks of an encoder over a stream: activations of the newest audio, at the cost of the newest audio.

A window of Whisper's is filled from its beginning. What lies in it keeps its keys and values in every block; the newest
positions attend to all of the window, and are computed anew while `REFRESHED` positions may still come behind them that
change them much. In the first block this is what the whole window so far gives, to rounding; in later blocks the keys
of older positions do not know what came behind them. A full window gives way to one that begins with its last `KEPT`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from whisper.audio import N_FRAMES
from whisper.model import ResidualAttentionBlock

from whisper_steer.encoders.prefix import Prefix

WINDOW = N_FRAMES // 2
"""positions of 20 ms"""
KEPT = 500
"""of a full window, positions that the next one begins with: 10 s"""
REFRESHED = 32
"""positions before the newest that are computed again with what has come since: 0.64 s"""
FLOOR = 8.0
"""decades below the loudest place of a window, where stock cuts its log-mel off"""
LOUDER = 0.5
"""decades that a window may grow louder before what lies in it is scaled anew"""


class RecentActivations:
    """Activations of the last seconds of a stream at a `Prefix`'s hook point."""

    def __init__(self, prefix: Prefix) -> None:
        self._prefix = prefix
        encoder: Any = prefix.encoder
        weight: Tensor = encoder.conv1.weight
        n_state = int(encoder.conv1.out_channels)
        self._blocks: list[ResidualAttentionBlock] = list(encoder.blocks[: prefix.n_blocks])
        self._mel = torch.empty(prefix.n_mels, 0, device=weight.device)
        self._embedded = weight.new_empty(WINDOW, n_state)
        self._out = weight.new_empty(WINDOW, n_state)
        self._caches = [
            (weight.new_empty(WINDOW, n_state), weight.new_empty(WINDOW, n_state)) for _ in self._blocks
        ]
        self._top = -torch.inf
        self._n = 0
        self._start = 0

    def newest(self, n: int) -> tuple[int, Tensor]:
        """The newest positions, at most n, as pairs: how many lie before them since the stream began, (m, n_state)."""
        last = self._n // 2 * 2
        first = max(0, last - n)
        return self._start + first, self._out[first:last]

    @torch.no_grad()
    def feed(self, mel: Tensor) -> None:
        """Take up (n_mels, k) frames of `MelStream`, at most 10 s of them."""
        self._mel = torch.cat([self._mel, mel], dim=1)
        n = (self._mel.shape[1] - 1) // 2  # of the others the convolutions lack what lies behind
        if n > WINDOW:
            dropped = (n - KEPT) // 2 * 2
            self._mel = self._mel[:, 2 * dropped :].clone()
            self._start += dropped
            self._top, self._n, n = -torch.inf, 0, n - dropped
        if n <= self._n:
            return
        top = float(self._mel.max())
        if top > self._top + LOUDER:
            self._top, self._n = top, 0
        self._embed(self._n, n)
        first = max(0, min(self._n, n - REFRESHED))
        x = self._embedded[first:n]
        for block, (keys, values) in zip(self._blocks, self._caches, strict=True):
            x = _newest_of_block(block, x, keys[:n], values[:n])
        encoder: Any = self._prefix.encoder
        self._out[first:n] = encoder.ln_post(x) if self._prefix.point == "ln_post" else x
        self._n = n

    def _embed(self, first: int, n: int) -> None:
        """The convolutions and positions of [first, n) of the window."""
        encoder: Any = self._prefix.encoder
        before = min(first, 2)  # positions that the convolutions see at the left edge
        raw = self._mel[:, 2 * (first - before) : 2 * n + 1]
        mel = (torch.maximum(raw, torch.tensor(self._top - FLOOR)) + 4.0) / 4.0
        x = F.gelu(encoder.conv1(mel[None].to(self._embedded.dtype)))
        x = F.gelu(encoder.conv2(x))[0].T[before : before + n - first]
        self._embedded[first:n] = x + encoder.positional_embedding[first:n]


def _newest_of_block(block: Any, x: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """A block's output at its newest positions x (m, n_state); keys and values (n, n_state) of all get theirs."""
    attention, new = block.attn, block.attn_ln(x)
    keys[-len(x) :], values[-len(x) :] = attention.key(new), attention.value(new)
    q, k, v = (
        y.unflatten(1, (attention.n_head, -1)).transpose(0, 1) for y in (attention.query(new), keys, values)
    )
    seen = F.scaled_dot_product_attention(q[None], k[None], v[None])[0].transpose(0, 1).flatten(1)
    x = x + attention.out(seen)
    return x + block.mlp(block.mlp_ln(x))
