"""What baselines ask the decoder about a window without decoding it: one step, its states and its logits."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingTask

from .session import Session

BATCH = 16


def lifted(options: DecodingOptions) -> DecodingOptions:
    """Let end-of-text come first, which stock forbids.

    The length penalty of 0 keeps stock's ranking of candidates from dividing by the length of an empty one.
    """
    penalty = 0.0 if options.length_penalty is None else options.length_penalty
    return replace(options, suppress_blank=False, length_penalty=penalty)


@torch.no_grad()
def text_margin(
    session: Session, features: list[Tensor], editing: AbstractContextManager[None] | None = None
) -> list[float]:
    """By how much the best text token beats end-of-text where greedy decoding decides on any text at all.

    Above 0 the window gets text, once stock's ban on an empty result is lifted. With timestamps the decision comes
    after <|0.00|>. Costs one decoder step per window (1500, state).
    """
    task = DecodingTask(session.model, lifted(DecodingOptions(**_options(session))))
    prompt = list(task.initial_tokens)
    if not task.options.without_timestamps:
        prompt.append(task.tokenizer.timestamp_begin)
    last_text, end = task.tokenizer.timestamp_begin, task.tokenizer.eot
    margins: list[float] = []
    with editing or nullcontext():
        for i in range(0, len(features), BATCH):
            batch = torch.stack(features[i : i + BATCH])
            tokens = torch.tensor([prompt] * len(batch), device=batch.device)
            logits = session.model.decoder(tokens, batch)[:, -1]
            for each in task.logit_filters:
                if type(each).__name__ == "SuppressTokens":
                    each.apply(logits, tokens)
            ending = logits[:, end].clone()
            logits[:, end:last_text] = -torch.inf
            margins += (logits[:, :last_text].amax(dim=1) - ending).tolist()
    return margins


@torch.no_grad()
def first_state(session: Session, features: Tensor, block: int) -> Tensor:
    """Output (state,) of a decoder block at the last prompt token: the decoder's first state on a window."""
    task = DecodingTask(session.model, DecodingOptions(**_options(session)))
    tokens = torch.tensor([task.initial_tokens], device=features.device)
    decoder = session.model.decoder
    x = decoder.token_embedding(tokens) + decoder.positional_embedding[: tokens.shape[-1]]
    x = x.to(features.dtype)
    for each in list(decoder.blocks)[: block + 1]:
        x = each(x, features[None], mask=decoder.mask)
    return x[0, -1].float()


@torch.no_grad()
def no_speech_logit(session: Session, features: Tensor) -> float:
    """Logit of the no-speech token's probability for a window (1500, state), as `whisper.decode` takes it."""
    task = DecodingTask(session.model, DecodingOptions(**_options(session)))
    tokens = torch.tensor([task.initial_tokens], device=features.device)
    logits = session.model.decoder(tokens, features[None])[0, task.sot_index].float()
    return float(torch.logit(logits.softmax(dim=-1)[task.tokenizer.no_speech], eps=1e-7))


def _options(session: Session) -> dict[str, Any]:
    known = DecodingOptions.__dataclass_fields__
    return {k: v for k, v in session.options.items() if k in known and k != "temperature"} | {
        "language": session.options.get("language") or "en"
    }
