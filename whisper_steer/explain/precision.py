"""Class-balanced precision of a latent for a name, where names are narrow or wide.

A latent that fires on violins is to be told from one that fires on strings, on music, or on anything. Names form a
tree, and a name's precision is its share among its rivals::

    precision(name) = rate(name) / (rate(name) + sum of rate(rival) over the rivals)

``rate`` is the mean, over a name's classes, of how much of the time the latent fires; the rivals of a name are its
siblings and those of each wider name that it belongs to. So a class counts alike however many clips it has, and
music does not count twelvefold because twelve instruments were recorded. Of a latent that fires on everything
alike, the precision is one in all the rivals and itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

ROOT = ""


class Tree:
    """Classes and the wider names above them.

    classes: for each class its names, the narrowest first. A class that is a wider name of another is refused by
    `ValueError`.
    """

    def __init__(self, classes: Iterable[tuple[str, ...]]) -> None:
        self.classes = sorted(set(classes))
        self.members: dict[str, list[int]] = defaultdict(list)
        """name -> rows of its classes"""
        self._parent: dict[str, str] = {}
        self._children: dict[str, set[str]] = defaultdict(set)
        for row, names in enumerate(self.classes):
            for name, wider in zip(names, (*names[1:], ROOT), strict=True):
                self.members[name].append(row)
                self._parent[name] = wider
                self._children[wider].add(name)
        if clash := [names[0] for names in self.classes if names[0] in self._children]:
            raise ValueError(f"{clash[0]!r} is a class and a wider name as well")

    def row(self, names: tuple[str, ...]) -> int | None:
        """The row of a class, or None where it is none of ours."""
        return self.classes.index(names) if names in self.classes else None

    def rivals(self, name: str) -> list[str]:
        """What a name is to be told from."""
        found: list[str] = []
        while name != ROOT:
            found += sorted(self._children[self._parent[name]] - {name})
            name = self._parent[name]
        return found

    def precision(self, rates: Tensor, name: str) -> Tensor:
        """Rates (classes, n) of n latents, each from 0 to 1 -> their precision for a name (n,); 0 where none fires."""
        own = rates[self.members[name]].mean(dim=0)
        every = own + torch.stack(
            [torch.zeros_like(own), *(rates[self.members[rival]].mean(dim=0) for rival in self.rivals(name))]
        ).sum(dim=0)
        return own / every.clamp_min(1e-9)


__all__ = ["Tree"]
