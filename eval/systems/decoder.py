"""Baselines that change the decoder: end-of-text bias, projection out of a subspace, masked attention heads.

All run with stock's ban on an empty result lifted, since none of them could write nothing otherwise; so `ban-lifted`
is what they are to be compared with. Each chooses its strength on the choose split by the rule of `fits.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from whisper.decoding import DecodingOptions, DecodingResult
from whisper.model import Whisper
from whisper.tokenizer import get_tokenizer

from ..fits import Bank, threshold_for
from ..probes import first_state, text_margin
from ..session import Session
from .base import System, register
from .gates import DecoderStateGate


class DecoderEdit(System):
    stage = "decoder"
    base = "ban-lifted"
    lift_ban = True


@register
class EndOfTextBias(DecoderEdit):
    name = "end-of-text-bias"
    about = "a constant added to the end-of-text logit (after the trained row of arXiv 2608.15940)"
    bias = 0.0

    def fit(self, bank: Bank) -> dict[str, Any]:
        """The bias at which a window falls silent is its text margin: a threshold on evidence like any other."""
        speech, other = (
            torch.tensor(text_margin(bank.session, bank.features("choose", kind)))
            for kind in ("speech", "nonspeech")
        )
        return threshold_for(speech, other)

    def load(self, session: Session, state: dict[str, Any]) -> None:
        self.bias = max(0.0, state["threshold"])
        self.edits = f"end-of-text+{self.bias!r}"

    @contextmanager
    def editing(self, session: Session) -> Iterator[None]:
        end = get_tokenizer(session.model.is_multilingual).eot

        def add(_module: nn.Module, _inputs: object, logits: Tensor) -> Tensor:
            logits[..., end] += self.bias
            return logits

        handle = session.model.decoder.register_forward_hook(add)
        try:
            yield
        finally:
            handle.remove()


@register
class MaskedHeads(DecoderEdit):
    name = "masked-heads"
    about = (
        "decoder self-attention heads masked, those that make it write on non-speech (after arXiv 2505.12969)"
    )
    most = 3
    heads: list[list[int]]

    def fit(self, bank: Bank) -> dict[str, Any]:
        """Heads ranked by how far masking each alone lowers the text margin on fit non-speech."""
        session, features = bank.session, bank.features("fit", "nonspeech")[:24]
        model = session.model
        margins = {
            (block, head): sum(text_margin(session, features, masked(model, [[block, head]])))
            for block in range(model.dims.n_text_layer)
            for head in range(model.dims.n_text_head)
        }
        ranked = [list(head) for head in sorted(margins, key=lambda head: margins[head])]
        counts = [float(n) for n in range(1, self.most + 1)]
        choice = bank.strength(counts, editing=lambda n: masked(model, ranked[: int(n)]))
        return {"heads": ranked[: int(choice["strength"])], "tried": choice["tried"]}

    def load(self, session: Session, state: dict[str, Any]) -> None:
        self.heads = state["heads"]
        self.edits = f"masked-heads{self.heads}"

    @contextmanager
    def editing(self, session: Session) -> Iterator[None]:
        with masked(session.model, self.heads):
            yield


@contextmanager
def masked(model: Whisper, heads: list[list[int]]) -> Iterator[None]:
    """Zero the output of decoder self-attention heads [block, head], before their output projection."""
    width = model.dims.n_text_state // model.dims.n_text_head

    def zero(head: int, _module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        values = inputs[0].clone()
        values[..., head * width : (head + 1) * width] = 0
        return (values, *inputs[1:])

    with ExitStack() as stack:
        for block, head in heads:
            out = model.decoder.blocks[block].attn.out
            stack.callback(out.register_forward_pre_hook(partial(zero, head)).remove)
        yield


@register
class Projection(DecoderEdit):
    name = "projection"
    about = "decoder states projected out of a hallucination subspace, always (after arXiv 2609.04561)"
    ranks = (1.0, 2.0, 4.0, 8.0, 16.0)
    directions: Tensor
    mean: Tensor

    def fit(self, bank: Bank) -> dict[str, Any]:
        """Leading singular directions of last-block states of fit non-speech, centred on those of fit speech."""
        session = bank.session
        last = session.model.dims.n_text_layer - 1
        speech, other = (
            torch.stack([first_state(session, f, last) for f in bank.features("fit", kind)])
            for kind in ("speech", "nonspeech")
        )
        mean = speech.mean(0)
        directions = torch.linalg.svd(other - mean, full_matrices=False).Vh
        ranks = [rank for rank in self.ranks if rank < len(directions)]
        choice = bank.strength(ranks, editing=lambda r: projected(session.model, directions[: int(r)], mean))
        kept = directions[: int(choice["strength"])]
        return {"directions": kept.tolist(), "mean": mean.tolist(), "tried": choice["tried"]}

    def load(self, session: Session, state: dict[str, Any]) -> None:
        self.directions = torch.tensor(state["directions"], device=session.model.device)
        self.mean = torch.tensor(state["mean"], device=session.model.device)
        self.edits = f"projection-{len(self.directions)}-{float(self.directions.sum())!r}"

    @contextmanager
    def editing(self, session: Session) -> Iterator[None]:
        with projected(session.model, self.directions, self.mean):
            yield


@contextmanager
def projected(model: Whisper, directions: Tensor, mean: Tensor) -> Iterator[None]:
    """h' = h - U U^T (h - mean) on the output of the last decoder block; ``directions`` (r, state), orthonormal."""

    def project(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        basis = directions.to(output.dtype)
        return output - (output - mean.to(output.dtype)) @ basis.T @ basis

    handle = model.decoder.blocks[-1].register_forward_hook(project)
    try:
        yield
    finally:
        handle.remove()


@register
class GatedProjection(Projection):
    name = "projection-gated"
    about = "the same, only where the decoder-state gate says non-speech (after arXiv 2609.04561)"
    base = "stock"

    def __init__(self) -> None:
        self.gate = DecoderStateGate()

    def fit(self, bank: Bank) -> dict[str, Any]:
        return {**bank.learned(Projection()), "gate": bank.learned(self.gate)}

    def load(self, session: Session, state: dict[str, Any]) -> None:
        super().load(session, state)
        self.gate.load(session, state["gate"])

    def decode(self, session: Session, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        evidence = self.gate.evidence(session, mel)
        session.note(evidence)
        if evidence >= self.gate.threshold:
            return session.decode(session.encode(mel), options)
        return super().decode(session, mel, options)
