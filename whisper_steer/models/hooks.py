"""Hooks on encoder and decoder: where the activations of a Whisper are read and edited.

A hook point is named as in openai-whisper: ``"blocks.2"`` is the output of block 2 (counted from 0, the residual stream
after its MLP); ``"ln_post"`` is the encoder's final, normalised output and ``"ln"`` the decoder's. Inside a block of
a decoder ``"blocks.2.attn"``, ``"blocks.2.cross_attn"`` and ``"blocks.2.mlp"`` are what each part adds to the residual
stream, and ``"blocks.2.cross_attn.heads"`` is what the heads of its cross-attention found, one behind the other, before
they are projected; ``"blocks.2.cross_attn.query"`` and ``.key`` are what they compare. The same names work on the
modules of ``transformers`` (``layers``, ``encoder_attn``, ...).

What `torch.compile` made of a module does not call hooks that came later. So a hooked encoder is run as it was before
it was compiled or spread over devices, see `unwrap` and `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from whisper_steer.errors import UsageError

Edit = Callable[[Tensor], "Tensor | None"]
"""Takes activations (batch, frames or positions, state); returns them edited, or None to leave them, to the bit."""


class HookHandle:
    """An attached hook. ``remove()`` may be called more than once."""

    def __init__(self, handle: torch.utils.hooks.RemovableHandle) -> None:
        self._handle = handle

    def remove(self) -> None:
        self._handle.remove()

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def unwrap(module: nn.Module) -> nn.Module:
    """What is inside the wrappers of ``torch.compile`` and ``DataParallel``, or the module itself."""
    while len(inner := dict(module.named_children())) == 1 and inner.keys() <= {"_orig_mod", "module"}:
        (module,) = inner.values()
    return module


def run(encoder: nn.Module, mel: Tensor) -> Tensor:
    """``encoder(mel)`` of the module inside, in which hooks are called, also where it was compiled in place."""
    encoder = unwrap(encoder)
    compiled = getattr(encoder, "_compiled_call_impl", None) is not None
    features: Tensor = encoder._call_impl(mel) if compiled else encoder(mel)
    return features


def hook_points(module: nn.Module) -> list[str]:
    """The hook points of the residual stream of an encoder or a decoder, in the order in which the data passes them."""
    return [f"blocks.{i}" for i in range(len(_blocks(module)))] + ["ln" if _is_decoder(module) else "ln_post"]


def attach(module: nn.Module, point: str, edit: Edit) -> HookHandle:
    """Call ``edit`` on the activations at ``point`` of an encoder or decoder in every pass until the handle is removed.

    Several hooks may sit on one module or one point; they run in the order of attachment. Whatever ``edit`` returns
    is cast to the dtype and device of what it was given. Raises `UsageError` for an unknown point.
    """

    def edited(hidden: Tensor) -> Tensor | None:
        found = edit(hidden)
        if found is None:
            return None
        if found.shape != hidden.shape:
            raise ValueError(
                f"an edit at {point} turned shape {tuple(hidden.shape)} into {tuple(found.shape)}"
            )
        return found.to(dtype=hidden.dtype, device=hidden.device)

    def forward_hook(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> object:
        if not isinstance(output, tuple):
            return edited(output)
        found = edited(output[0])
        return None if found is None else (found, *output[1:])

    def pre_hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> object:
        found = edited(inputs[0])
        return None if found is None else (found, *inputs[1:])

    at = _module_at(module, point)
    return HookHandle(
        at.register_forward_pre_hook(pre_hook)
        if point.endswith(".heads")
        else at.register_forward_hook(forward_hook)
    )


@contextmanager
def hooked(module: nn.Module, *edits: tuple[str, Edit]) -> Iterator[None]:
    """Attach ``(point, edit)`` pairs for the length of a ``with`` block, also when it ends in an exception."""
    with ExitStack() as stack:
        for point, edit in edits:
            stack.enter_context(attach(module, point, edit))
        yield


@torch.no_grad()
def read_activations(encoder: nn.Module, mel: Tensor, points: list[str]) -> dict[str, Tensor]:
    """Activations (batch, frames, state) at each point for log-mel windows (batch, mels, 3000)."""
    found: dict[str, Tensor] = {}
    with hooked(encoder, *_readers(points, found)):
        run(encoder, mel)
    return found


@torch.no_grad()
def read_decoder(
    decoder: nn.Module, features: Tensor, tokens: Sequence[int], points: Sequence[str]
) -> dict[str, Tensor]:
    """Activations (positions or frames, n_state) at hook points of openai-whisper's decoder, for one window's encoder
    output (1500, n_state) and the tokens that go in."""
    found: dict[str, Tensor] = {}
    with hooked(decoder, *_readers(points, found)):
        decoder(torch.tensor([list(tokens)], device=features.device), features[None])
    return {point: hidden[0] for point, hidden in found.items()}


def _readers(points: Sequence[str], found: dict[str, Tensor]) -> list[tuple[str, Edit]]:
    """Hooks that put what passes each point into ``found``."""

    def reader(point: str) -> Edit:
        def read(hidden: Tensor) -> None:
            found[point] = hidden.detach()

        return read

    return [(point, reader(point)) for point in points]


def _blocks(module: nn.Module) -> nn.ModuleList:
    module = unwrap(module)
    blocks = getattr(module, "blocks", None) or getattr(module, "layers", None)
    if not isinstance(blocks, nn.ModuleList):
        raise UsageError(
            f"{type(module).__name__} is no part of a Whisper; pass model.encoder or model.decoder of one"
        )
    return blocks


def _is_decoder(module: nn.Module) -> bool:
    first = _blocks(module)[0]
    return getattr(first, "cross_attn", None) is not None or hasattr(first, "encoder_attn")


INSIDE = {
    "attn": ("attn", "self_attn"), "cross_attn": ("cross_attn", "encoder_attn"), "mlp": ("mlp", "fc2"),
    "cross_attn.heads": ("cross_attn.out", "encoder_attn.out_proj"),
    "cross_attn.query": ("cross_attn.query", "encoder_attn.q_proj"),
    "cross_attn.key": ("cross_attn.key", "encoder_attn.k_proj"),
}  # fmt: skip
"""parts of a decoder's block: openai-whisper's name, and that of transformers"""


def _module_at(module: nn.Module, point: str) -> nn.Module:
    blocks, module = _blocks(module), unwrap(module)
    decoder = _is_decoder(module)
    if point == ("ln" if decoder else "ln_post"):
        found: nn.Module = getattr(module, point) if hasattr(module, point) else module.layer_norm  # type: ignore[assignment]
        return found
    name, _, rest = point.partition(".")
    index, _, part = rest.partition(".")
    known = name == "blocks" and index.isdigit() and int(index) < len(blocks)
    if not known or (part and (not decoder or part not in INSIDE)):
        inside = f", and in each block {', '.join(INSIDE)}" if decoder else ""
        raise UsageError(f"unknown hook point {point!r}; there are {', '.join(hook_points(module))}{inside}")
    block: nn.Module = blocks[int(index)]
    return block.get_submodule(INSIDE[part][0 if hasattr(block, "cross_attn") else 1]) if part else block
