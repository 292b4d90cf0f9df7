"""nano while it is trained: a stock Whisper, a small vocabulary tied to it, throwaway heads and the losses.

The full softmax over 51864 tokens is computed exactly from few rows: all tokens that never occur share one row u, so
their probabilities add up to exp(h.u + log(number of them)). Timestamp rows are fixed sinusoids of time times a matrix.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from whisper.model import ModelDimensions, MultiHeadAttention, Whisper, sinusoids

from whisper_steer.nano import labels
from whisper_steer.nano.batches import Batch, is_time

DIMS = ModelDimensions(
    n_mels=80, n_audio_ctx=1500, n_audio_state=192, n_audio_head=3, n_audio_layer=4,
    n_vocab=51864, n_text_ctx=448, n_text_state=192, n_text_head=3, n_text_layer=2,
)  # fmt: skip
UNUSED = DIMS.n_vocab - labels.FIRST_TIME - labels.TIMESTAMPS
WEIGHTS = {"tokens": 1.0, "frames": 1.0, "ctc": 0.1, "attention": 0.3, "around": 0.5, "next": 0.1}
SILENCE_WEIGHT = 0.3
LOOKS: tuple[tuple[int | None, ...], ...] = ((-4, 0, 4), (-8, 0, 8), (-25, 25, 60), (0, 40, None))
"""Per encoder block and head: how many frames away attention looks at first; None for anywhere."""


class Nano(nn.Module):
    """A Whisper in training."""

    def __init__(self) -> None:
        super().__init__()
        n = DIMS.n_text_state
        self.whisper = Whisper(DIMS)
        self.whisper.decoder.token_embedding.requires_grad_(False)
        self.control = nn.Parameter(torch.randn(labels.FIRST_TIME, n) * 0.1)
        self.unused = nn.Parameter(torch.randn(n) * 0.1)
        self.time = nn.Parameter(torch.linalg.qr(torch.randn(n, n))[0] * 0.12)
        self.register_buffer("times", sinusoids(labels.TIMESTAMPS, n, max_timescale=2000))
        self.whisper.decoder.positional_embedding.data = sinusoids(DIMS.n_text_ctx, n) * 0.1
        self.look_near()
        self.frame_head = nn.Linear(n, 11)
        self.ctc_head = nn.Linear(n, 11)
        self.around_head = nn.Linear(n, 55)
        self.next_head = nn.Linear(n, n)

    @torch.no_grad()
    def look_near(self, gain: float = 1.7) -> None:
        """Start encoder attention as soft windows around i + shift, as LOOKS says; learning is free to leave them.

        Sinusoids of positions i and j have a dot product that peaks at i = j; a query that turns every frequency w by
        w * shift moves the peak. With random weights the encoder took ten times as many words to tell digits apart.
        """
        half, n = DIMS.n_audio_state // 2, DIMS.n_audio_state // DIMS.n_audio_head // 2
        speed = torch.exp(-math.log(10000) / (half - 1) * torch.arange(half))
        row = torch.arange(n)
        for block, shifts in zip(self.whisper.encoder.blocks, LOOKS, strict=True):
            query, key = block.attn.query.weight, block.attn.key.weight
            for head, shift in enumerate(shifts):
                if shift is None:
                    continue
                picked = row + (4 if abs(shift) < 10 else 28)
                sine, cosine = 2 * n * head + row, 2 * n * head + n + row
                for rows in (sine, cosine):
                    query[rows] *= 0.1
                    key[rows] *= 0.1
                near, far = gain * torch.cos(speed[picked] * shift), gain * torch.sin(speed[picked] * shift)
                query[sine, picked] += near
                query[sine, picked + half] += far
                query[cosine, picked + half] += near
                query[cosine, picked] -= far
                key[sine, picked] += gain
                key[cosine, picked + half] += gain

    def encode(self, mel: Tensor, offset: int) -> Tensor:
        """(B, 80, 2 T) log-mel to (B, T, n), at encoder positions from `offset`."""
        encoder: Any = self.whisper.encoder
        x = F.gelu(encoder.conv1(mel))
        x = F.gelu(encoder.conv2(x)).permute(0, 2, 1).float()
        x = x + encoder.positional_embedding[offset : offset + x.shape[1]]
        for block in encoder.blocks:
            x = block(x)
        out: Tensor = encoder.ln_post(x)
        return out

    def time_rows(self) -> Tensor:
        """Embeddings of the timestamps: (TIMESTAMPS, n)."""
        return self.get_buffer("times") @ self.time

    def table(self) -> Tensor:
        """Rows of the small vocabulary, then the shared unused row: (FIRST_TIME + TIMESTAMPS + 1, n)."""
        return torch.cat([self.control, self.time_rows(), self.unused[None]])

    def decode(self, tokens: Tensor, audio: Tensor, counts: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Log-probabilities (M, V) at the M positions of `counts`; cross-attention (B, heads, N, T) of each block."""
        decoder: Any = self.whisper.decoder
        kept: list[Tensor] = []
        hooks = [
            layer.register_forward_hook(lambda _m, _i, out: kept.append(out))
            for block in decoder.blocks
            for layer in (block.cross_attn.query, block.cross_attn.key)
        ]
        table = self.table()
        x = table[tokens] + decoder.positional_embedding[: tokens.shape[1]]
        for block in decoder.blocks:
            x = block(x, audio, mask=decoder.mask)
        for hook in hooks:
            hook.remove()
        h = decoder.ln(x[counts].float())
        logits = F.linear(h, table).float()
        logits = torch.cat([logits[..., :-1], logits[..., -1:] + math.log(UNUSED)], dim=-1)
        attention = []
        for q, k in zip(kept[::2], kept[1::2], strict=True):
            q, k = (t.unflatten(-1, (DIMS.n_text_head, -1)).transpose(1, 2) for t in (q, k))
            attention.append((q @ k.transpose(-1, -2)).float() / math.sqrt(q.shape[-1]))
        return logits.log_softmax(-1), [a.softmax(-1) for a in attention]

    def losses(self, batch: Batch, part: str = "all") -> dict[str, Tensor]:
        """Terms of the loss by the names of WEIGHTS: "all", those of the "encoder", or of the "decoder" alone."""
        MultiHeadAttention.use_sdpa = (
            batch.classes.shape[1] > 700
        )  # the fused kernel's backward is slow on short windows
        with torch.set_grad_enabled(part != "decoder"):
            audio = self.encode(batch.mel, batch.offset)
        found = {} if part == "decoder" else self.encoder_losses(audio, batch)
        if part == "encoder":
            return found
        logp, (first, second) = self.decode(batch.tokens[:, :-1], audio, batch.counts)
        found["tokens"] = self.token_loss(logp, batch.tokens[:, 1:][batch.counts])
        found["attention"] = (
            0.5 * self.attention_loss(first[:, :1], batch.known)
            + 0.5 * self.attention_loss(first[:, 1:2], batch.spans)
            + self.attention_loss(second[:, :2], batch.spans)
        )
        return found

    def encoder_losses(self, audio: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Terms that come from the encoder's output (B, T, n) and throwaway heads on it."""
        weight = torch.tensor([SILENCE_WEIGHT] + [1.0] * 10)
        frames = self.frame_head(audio).float().transpose(1, 2)
        around = self.around_head(audio).float().transpose(1, 2).unflatten(1, (5, 11)).transpose(1, 2)
        return {
            "frames": F.cross_entropy(frames, batch.classes, weight, ignore_index=labels.IGNORE),
            "ctc": F.ctc_loss(
                self.ctc_head(audio).float().log_softmax(-1).transpose(0, 1),
                torch.tensor([d + 1 for w in batch.words for d in w]),
                torch.full((len(batch.words),), audio.shape[1]),
                torch.tensor([len(w) for w in batch.words]),
                zero_infinity=True,
            ),
            "around": F.cross_entropy(around, batch.around, ignore_index=labels.IGNORE),
            "next": self.next_loss(audio, batch.next_start),
        }

    def next_loss(self, audio: Tensor, start: Tensor, most: int = 1500) -> Tensor:
        """Cross entropy of when the next word starts, written as timestamps are, on at most `most` frames."""
        chosen = torch.nonzero(~start.isnan().flatten())[:, 0]
        chosen = chosen[torch.randperm(len(chosen))[:most]]
        if not len(chosen):
            return audio.sum() * 0.0
        logits = self.next_head(audio.flatten(0, 1)[chosen]).float() @ self.get_buffer("times").T
        soft = near_times(start.flatten()[chosen], 2.0)
        return -(soft * logits.log_softmax(-1)).sum(-1).mean()

    @staticmethod
    def token_loss(logp: Tensor, out: Tensor, width: float = 1.5) -> Tensor:
        """Cross entropy; targets that are timestamps are a Gaussian of `width` bins around the right one."""
        timed = is_time(out)
        hard = -logp[~timed].gather(1, out[~timed, None]).sum()
        soft = near_times(out[timed] - labels.FIRST_TIME, width)
        first = labels.FIRST_TIME
        return (hard - (soft * logp[timed, first : first + labels.TIMESTAMPS]).sum()) / len(out)

    @staticmethod
    def attention_loss(attention: Tensor, spans: Tensor) -> Tensor:
        """-log of the attention (B, heads, N, T) that falls into `spans` (B, N, 2), over heads and known spans."""
        frames = torch.arange(attention.shape[-1])
        inside = (frames >= spans[..., :1]) & (frames < spans[..., 1:])
        mass = (attention * inside[:, None]).sum(-1).transpose(1, 2)[spans[..., 0] >= 0]
        return -(mass + 1e-4).log().mean() if len(mass) else attention.sum() * 0.0

    @torch.no_grad()
    def export(self) -> dict[str, Any]:
        """The checkpoint as stock whisper.load_model reads it, fp16."""
        rows = self.unused[None].repeat(DIMS.n_vocab, 1)
        rows[list(labels.WORD_TOKENS)] = self.control[:10]
        rows[list(labels.CONTROL_TOKENS)] = self.control[10:]
        rows[labels.TIMESTAMP_BEGIN :] = self.time_rows()
        state = {k: v.half() for k, v in self.whisper.state_dict().items()}
        state["decoder.token_embedding.weight"] = rows.half()
        return {"dims": dict(vars(DIMS)), "model_state_dict": state}


def near_times(at: Tensor, width: float) -> Tensor:
    """Targets (n, TIMESTAMPS) that are a Gaussian of ``width`` timestamps around each of ``at`` (n,)."""
    return torch.softmax(-0.5 * ((torch.arange(labels.TIMESTAMPS) - at[:, None]) / width) ** 2, dim=-1)
