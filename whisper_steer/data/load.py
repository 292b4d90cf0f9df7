"""Loaders: a folder in the layout that people have on disk -> clips with splits.

``load("urbansound8k:/data/UrbanSound8K")`` calls the loader of that name. Splits are a data set's own where it has
them, else drawn by a hash of the source recording or speaker, so that no group is in two splits. Classes that hold
human voice are marked ``voice``.
"""

from __future__ import annotations

from pathlib import Path

from whisper_steer.data import builtin, nonspeech, own, speech  # noqa: F401  (importing them registers their loaders)
from whisper_steer.data.clips import Clip
from whisper_steer.data.layout import LOADERS
from whisper_steer.errors import DataError, UsageError


def load(spec: str) -> list[Clip]:
    """Clips of ``KIND:PATH`` (or ``synthetic``). Raises `UsageError` for an unknown kind, `DataError` for a layout
    that is not what it should be."""
    kind, _, path = spec.partition(":")
    if kind not in LOADERS:
        raise UsageError(
            f"unknown data kind {kind!r}; choose one of {', '.join(sorted(LOADERS))} (as KIND:PATH)"
        )
    if kind != "synthetic" and not path:
        raise UsageError(f"--data {kind} needs a folder or file: {kind}:PATH")
    clips = LOADERS[kind](Path(path))
    if not clips:
        raise DataError(f"{spec} holds no clips; check the path")
    return clips


__all__ = ["LOADERS", "load"]
