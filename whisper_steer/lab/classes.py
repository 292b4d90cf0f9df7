"""Which class a clip is of, for what is learned from classes: a field of the clips, or a folder per class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from whisper_steer.data.clips import Clip
from whisper_steer.data.layout import audio_files, duration
from whisper_steer.data.splits import order_key, split_of
from whisper_steer.errors import DataError, UsageError

FIELDS = ("label", "text", "group", "language", "kind", "dataset", "condition")
LEAST = 4
"""clips that a class needs to take part"""


def class_of(clip: Clip, field: str) -> str | None:
    """The value of one of `FIELDS`; None where the clip has none. Text is taken without case."""
    value = getattr(clip, field)
    if value is None or value == "":
        return None
    return str(value).strip().lower() if field == "text" else str(value)


def with_classes(
    clips: Sequence[Clip], field: str, only: Sequence[str] = (), per_class: int | None = None, seed: int = 0
) -> tuple[list[Clip], np.ndarray]:
    """Clips that have a class, and their classes (n,) str. Classes of fewer than `LEAST` clips are left out.

    ``only``: classes to keep; empty keeps all. ``per_class``: at most so many clips of a class in each split, spread
    over its groups. Raises `DataError` where fewer than two classes are left, `UsageError` for an unknown one.
    """
    found = [(clip, name) for clip in clips if (name := class_of(clip, field)) is not None]
    sizes = Counter(name for _, name in found)
    if unknown := set(only) - set(sizes):
        raise UsageError(
            f"no clip has {field} {', '.join(sorted(unknown))}; there are {', '.join(sorted(sizes)[:20]) or 'none'}"
        )
    kept = [(c, name) for c, name in found if sizes[name] >= LEAST and (not only or name in only)]
    if len({name for _, name in kept}) < 2:
        raise DataError(
            f"the field {field} gives fewer than two classes of {LEAST} clips: choose another --label"
        )
    if per_class is not None:
        chosen = _spread(kept, per_class, seed)
        kept = [pair for pair in kept if pair[0].id in chosen]
    return [clip for clip, _ in kept], np.array([name for _, name in kept])


def _spread(pairs: list[tuple[Clip, str]], limit: int, seed: int) -> set[str]:
    """Ids of at most ``limit`` clips of each class and split, groups taking turns."""
    strata: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    turns: Counter[tuple[str, str, str]] = Counter()
    for clip, name in sorted(pairs, key=lambda pair: order_key(pair[0], seed)):
        place = (name, clip.split, clip.group)
        strata.setdefault((name, clip.split), []).append((turns[place], order_key(clip, seed), clip.id))
        turns[place] += 1
    return {clip_id for members in strata.values() for _, _, clip_id in sorted(members)[:limit]}


def folder_per_class(root: Path, group: str | None = None) -> list[Clip]:
    """Every audio file below ``root``, its class (``label``) being the folder at the top that it lies in.

    ``group``: a regular expression whose first parentheses find, in the path below ``root``, the speaker, singer or
    source recording, of which no two sides may have the same; VocalSet sorted by technique has ``/([fm]\\d+)_``.
    Without one the group is the sub-folder below the class, or else the file. Splits are drawn by group. Raises
    `DataError`, and `UsageError` for a pattern that does not fit.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; pass one whose sub-folders are the classes")
    clips = []
    for path in audio_files(root):
        relative = path.relative_to(root)
        if len(relative.parts) < 2:
            continue
        name = _group(relative, group)
        clips.append(
            Clip(
                "nonspeech", split_of(name), name, path, root.name, id=str(relative), seconds=duration(path),
                label=relative.parts[0],
            )
        )  # fmt: skip
    if not clips:
        raise DataError(f"{root} holds no audio in sub-folders: each class is a folder of recordings")
    return clips


def _group(relative: Path, pattern: str | None) -> str:
    if pattern is None:
        return relative.parts[1] if len(relative.parts) > 2 else str(relative)
    try:
        found = re.search(pattern, relative.as_posix())
    except re.error as error:
        raise UsageError(f"--group-pattern is no regular expression: {error}") from None
    if found is None or not found.groups() or found[1] is None:
        raise UsageError(f"--group-pattern finds no group (in parentheses) in {relative}")
    return found[1]
