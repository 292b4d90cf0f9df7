"""What the lenses show of a recording, for programs and for the page.

``file``, ``model``, ``steering`` (the artifact's name; null for stock), ``language``, ``seconds``, ``text``
``dropped``            windows that Whisper decoded and dropped by its own rule
``encoder_blocks``, ``decoder_blocks``, ``heads`` (of a decoder's block), ``alignment_heads`` ([block, head], ...)
``columns``            of the attention; each is 30 / ``columns`` seconds
``windows``            in order, each with
  ``start``, ``seconds`` (of audio, padded to 30), ``temperature``, ``avg_logprob``, ``no_speech_prob``, ``text``
  ``encoder``          by block, what the decoder writes from it: ``text``, ``compression_ratio``, ``avg_logprob``,
                       ``loops`` (a compression ratio above 2.4)
  ``tokens``           as written, timestamps included: ``id``, ``text``, ``time`` (in the recording), and by block of
                       the decoder ``probability``, ``rank`` (0 is the first), ``entropy`` (nats), ``top`` ([text,
                       probability], ...)
  ``attention``        base64 of bytes (decoder_blocks, heads, tokens, columns): (byte / 255) squared is the attention,
                       see `unpacked`

Blocks and heads are counted from 0. Seconds throughout.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm
from whisper.decoding import DecodingTask
from whisper.model import Whisper
from whisper.tokenizer import Tokenizer

from whisper_steer.lens.attention import COLUMNS, pooled, token_frames, writing
from whisper_steer.lens.encoder import encoder_lens
from whisper_steer.lens.logit import LogitLens, logit_lens
from whisper_steer.lens.windows import Decoded, Window
from whisper_steer.models.attention import FRAME_SECONDS, alignment_heads


def report(file: str, name: str, model: Whisper, steering: str | None, decoded: Decoded) -> dict[str, Any]:
    """All of it. ``file`` and ``name`` (the model's) are for those who read."""
    dims = model.dims
    return {
        "file": file,
        "model": name,
        "steering": steering,
        "language": decoded.language,
        "seconds": decoded.seconds,
        "text": decoded.text,
        "dropped": decoded.dropped,
        "encoder_blocks": dims.n_audio_layer,
        "decoder_blocks": dims.n_text_layer,
        "heads": dims.n_text_head,
        "alignment_heads": [list(pair) for pair in alignment_heads(model)],
        "columns": COLUMNS,
        "windows": [
            _window(model, each) for each in tqdm(decoded.windows, desc="lenses", unit="window", disable=None)
        ],
    }


def packed(attention: np.ndarray) -> str:
    """Weights from 0 to 1, the small ones in finer steps, as base64 of bytes."""
    return base64.b64encode(np.rint(255 * np.sqrt(attention.clip(0, 1))).astype(np.uint8)).decode()


def unpacked(text: str, shape: tuple[int, ...]) -> np.ndarray:
    """The float32 weights again, to half a step of the root: within 0.004."""
    codes = np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)
    return np.asarray((codes.astype(np.float32) / 255) ** 2)


def _window(model: Whisper, window: Window) -> dict[str, Any]:
    tokenizer = DecodingTask(model, window.options).tokenizer
    initial, written = window.initial(model), window.result.tokens
    states = window.states(model)
    lens = logit_lens(model, states[-1], initial, written)
    weights = writing(model, states[-1], initial, written)
    frames = token_frames(model, weights, window.seconds) if written else np.zeros(0, int)
    found = window.result
    return {
        "start": window.start,
        "seconds": window.seconds,
        "temperature": found.temperature,
        "avg_logprob": found.avg_logprob,
        "no_speech_prob": found.no_speech_prob,
        "text": found.text,
        "encoder": [
            {
                "text": each.text,
                "compression_ratio": each.compression_ratio,
                "avg_logprob": each.avg_logprob,
                "loops": each.loops,
            }
            for each in encoder_lens(model, states, window.options)
        ],
        "tokens": _tokens(tokenizer, written, lens, window.start, frames),
        "attention": packed(pooled(weights)),
    }


def _tokens(
    tokenizer: Tokenizer, written: list[int], lens: LogitLens, start: float, frames: np.ndarray
) -> list[dict[str, Any]]:
    names: Callable[[int], str] = lambda token: tokenizer.decode_with_timestamps([token])  # noqa: E731
    first = tokenizer.timestamp_begin
    return [
        {
            "id": token,
            "text": names(token),
            "time": round(start + (token - first if token >= first else int(frames[i])) * FRAME_SECONDS, 2),
            "probability": [_rounded(p) for p in lens.probability[:, i]],
            "rank": lens.rank[:, i].tolist(),
            "entropy": [round(float(h), 3) for h in lens.entropy[:, i]],
            "top": [
                [[names(int(j)), _rounded(p)] for j, p in zip(ids, probabilities, strict=True)]
                for ids, probabilities in zip(lens.top[:, i], lens.top_probability[:, i], strict=True)
            ],
        }
        for i, token in enumerate(written)
    ]


def _rounded(probability: float) -> float:
    return float(f"{probability:.3g}")
