"""Which clips are listened to, which latents are shown in full, and what is known of them from elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError, UsageError
from whisper_steer.explain.names import NAMES, Names
from whisper_steer.files.card import read_json
from whisper_steer.pages.numbers import domain_of
from whisper_steer.sae.model import SAE
from whisper_steer.steer.artifact import Artifact


def sampled(clips: Sequence[Clip], most: int, seed: int = 0) -> list[Clip]:
    """At most so many clips: the domains in turn, in each the data sets, in each the labels. No recordings."""
    order = np.random.default_rng(seed).permutation(len(clips))
    found = [clips[i] for i in order if clips[i].kind != "recording"]
    keys: list[Callable[[Clip], object]] = [
        lambda clip: (clip.dataset, clip.label),
        lambda clip: (domain_of(clip), clip.dataset),
        domain_of,
    ]
    for key in keys:
        found = _in_turn(found, key)
    return found[:most]


def _in_turn(clips: Sequence[Clip], key: Callable[[Clip], object]) -> list[Clip]:
    """The first of each key, then the second of each, and so on."""
    seen: Counter[object] = Counter()
    numbered = []
    for clip in clips:
        numbered.append((seen[key(clip)], clip))
        seen[key(clip)] += 1
    return [clip for _, clip in sorted(numbered, key=lambda each: each[0])]


def check(latents: str, n: int) -> None:
    """Raise `UsageError` unless ``--latents`` can be read: ``all``, ``top:N``, or numbers below n with commas."""
    if latents == "all" or (latents.startswith("top:") and latents[4:].isdigit()):
        return
    if not all(part.strip().isdigit() and int(part) < n for part in latents.split(",")):
        raise UsageError(
            f"--latents {latents!r}: pass all, top:N, or numbers from 0 to {n - 1} separated by commas"
        )


def chosen(latents: str, auroc: np.ndarray, density: np.ndarray) -> list[int]:
    """Those that ``--latents`` names, of (n_latents,) scores: ``all`` that are ever active; ``top:N``, those of them
    that tell speech best, in either direction; or numbers. Raises `UsageError` as `check`."""
    check(latents, len(auroc))
    alive = np.flatnonzero(density > 0)
    if latents == "all":
        return [int(j) for j in alive]
    if latents.startswith("top:"):
        strength = np.abs(np.nan_to_num(auroc[alive], nan=0.5) - 0.5)
        return sorted(int(j) for j in alive[np.argsort(-strength, kind="stable")[: int(latents[4:])]])
    return sorted({int(part) for part in latents.split(",")})


def names_in(artifact: Artifact, point: str, sae: SAE) -> dict[int, str]:
    """The names of an artifact's latents, where it has names and they are of this SAE; else none.

    Raises `ArtifactError` where they are damaged.
    """
    if artifact.path is None or not (artifact.path / NAMES).is_file():
        return {}
    names = Names.load(artifact.path, (artifact.fingerprint, artifact.fingerprint_bfloat16))
    index = torch.tensor([each.latent for each in names.named])
    if names.point != point or not len(index) or int(index.max()) >= sae.config.n_latents:
        return {}
    weight = names.latents.weight
    same = sae.W_enc.shape[0] == len(weight) and torch.allclose(sae.W_enc[:, index], weight, atol=1e-2)
    return {each.latent: each.name for each in names.named} if same else {}


def read_stability(path: Path, sae: Path, n_latents: int) -> np.ndarray:
    """(n_latents,) the IoU of each latent of an SAE with its best match in SAEs of other seeds, a mean over those
    (arXiv 2602.05027); NaN for dead latents.

    ``path``: the JSON of `whisper-steer lab stability`, whose ``values`` name the SAE of a row in ``sae`` by the end of
    its path without suffix, or by the end of its folder's with its own name in ``point``, and have ``best_iou``, a
    number or null for each latent. Raises `DataError`.
    """
    ours = sae.absolute().with_suffix("").parts
    try:
        content: Any = read_json(path)
        rows = [row for row in content["values"] if _names(row, ours)]
        found = np.array([row["best_iou"] for row in rows], float)
        if found.shape != (len(rows), n_latents) or not rows:
            raise ValueError("of another SAE")
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{path} does not say how stable the {n_latents} latents of {sae.name} are: pass the JSON that "
            "whisper-steer lab stability writes for that file"
        ) from None
    return found.mean(axis=0)


def _names(row: dict[str, Any], path: tuple[str, ...]) -> bool:
    name = Path(row["sae"]).parts
    return any(path[-len(each) :] == each for each in (name, (*name, row.get("point", ""))))


__all__ = ["check", "chosen", "names_in", "read_stability", "sampled"]
