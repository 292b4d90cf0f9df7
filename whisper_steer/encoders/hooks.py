"""Hooks on the encoder: where a window's activations are read and edited.

A hook point is named as in openai-whisper's encoder: ``"blocks.2"`` is the output of encoder block 2 (counted
from 0, the residual stream after its MLP), ``"ln_post"`` is the encoder's final, normalised output. The same names
work on the encoder of ``transformers`` (``layers.2`` and ``layer_norm`` there).

What `torch.compile` made of an encoder does not call hooks that came later. So a hooked encoder is run as it was before
it was compiled or spread over devices, see `unwrap` and `run`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from whisper_steer.errors import UsageError

Edit = Callable[[Tensor], "Tensor | None"]
"""Takes activations (batch, frames, state); returns them edited, or None to leave them as they are, to the bit."""


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


def hook_points(encoder: nn.Module) -> list[str]:
    """Every hook point of an encoder, in the order in which the data passes them."""
    return [f"blocks.{i}" for i in range(len(_blocks(encoder)))] + ["ln_post"]


def attach(encoder: nn.Module, point: str, edit: Edit) -> HookHandle:
    """Call ``edit`` on the activations at ``point`` in every forward pass until the handle is removed.

    Several hooks may sit on one encoder or one point; they run in the order of attachment. Whatever ``edit`` returns
    is cast to the dtype and device of what it was given. Raises `UsageError` for an unknown point.
    """

    def forward_hook(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> object:
        hidden = output[0] if isinstance(output, tuple) else output
        edited = edit(hidden)
        if edited is None:
            return None
        if edited.shape != hidden.shape:
            raise ValueError(
                f"an edit at {point} turned shape {tuple(hidden.shape)} into {tuple(edited.shape)}"
            )
        edited = edited.to(dtype=hidden.dtype, device=hidden.device)
        return (edited, *output[1:]) if isinstance(output, tuple) else edited

    return HookHandle(_module_at(encoder, point).register_forward_hook(forward_hook))


@contextmanager
def hooked(encoder: nn.Module, *edits: tuple[str, Edit]) -> Iterator[None]:
    """Attach ``(point, edit)`` pairs for the length of a ``with`` block, also when it ends in an exception."""
    with ExitStack() as stack:
        for point, edit in edits:
            stack.enter_context(attach(encoder, point, edit))
        yield


@torch.no_grad()
def read_activations(encoder: nn.Module, mel: Tensor, points: list[str]) -> dict[str, Tensor]:
    """Activations (batch, frames, state) at each point for log-mel windows (batch, mels, 3000)."""
    found: dict[str, Tensor] = {}

    def reader(point: str) -> Edit:
        def read(hidden: Tensor) -> None:
            found[point] = hidden.detach()

        return read

    with hooked(encoder, *((point, reader(point)) for point in points)):
        run(encoder, mel)
    return found


def _blocks(encoder: nn.Module) -> nn.ModuleList:
    encoder = unwrap(encoder)
    blocks = getattr(encoder, "blocks", None) or getattr(encoder, "layers", None)
    if not isinstance(blocks, nn.ModuleList):
        raise UsageError(
            f"{type(encoder).__name__} is not a Whisper encoder; pass model.encoder of a Whisper model"
        )
    return blocks


def _module_at(encoder: nn.Module, point: str) -> nn.Module:
    blocks, encoder = _blocks(encoder), unwrap(encoder)
    if point == "ln_post":
        module: nn.Module = encoder.ln_post if hasattr(encoder, "ln_post") else encoder.layer_norm  # type: ignore[assignment]
        return module
    name, _, index = point.partition(".")
    if name != "blocks" or not index.isdigit() or int(index) >= len(blocks):
        raise UsageError(f"unknown hook point {point!r}; this encoder has {', '.join(hook_points(encoder))}")
    return blocks[int(index)]
