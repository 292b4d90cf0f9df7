"""Methods by name: what each does to activations, the strengths that are tried, and where it was published.

Imports nothing heavy, so that the command line can list names before it loads anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from whisper_steer.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

Fitted = TypeVar("Fitted")
"""what a method acts with: `whisper_steer.steer.methods.Edits`, or more"""


@dataclass(frozen=True)
class Method(Generic[Fitted]):
    """One way to edit.

    Called with activations (..., n_state) in float32, what was fitted and a strength, it gives what to add to them.
    """

    name: str
    function: Callable[[Tensor, Fitted, float], Tensor]
    grid: tuple[float, ...]
    """strengths to choose from, rising"""
    source: str

    def __call__(self, h: Tensor, fitted: Fitted, strength: float) -> Tensor:
        return self.function(h, fitted, strength)


class Registry(dict[str, Method[Fitted]]):
    """Name -> method, in the order in which they were registered."""

    def register(
        self, name: str, grid: tuple[float, ...], source: str
    ) -> Callable[[Callable[[Tensor, Fitted, float], Tensor]], Callable[[Tensor, Fitted, float], Tensor]]:
        """Decorator: make a function known under a name. Raises `ValueError` for a name that is taken."""

        def add(
            function: Callable[[Tensor, Fitted, float], Tensor],
        ) -> Callable[[Tensor, Fitted, float], Tensor]:
            if name in self:
                raise ValueError(f"a method {name!r} is registered already")
            self[name] = Method(name, function, grid, source)
            return function

        return add

    def named(self, name: str) -> Method[Fitted]:
        """The method of that name. Raises `UsageError`, which lists the names there are."""
        if name not in self:
            raise UsageError(f"unknown method {name!r}; choose one of {', '.join(self)}")
        return self[name]
