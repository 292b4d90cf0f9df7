"""Names for the latents of an SAE, from labelled sound.

For a latent and a name, a level of activation is looked for above which the latent is precise for the name on clips of
the split ``fit``; whether it is, is decided on the split ``choose``. A latent gets the narrowest name that passes, and
none where none does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Audio
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import FitError
from whisper_steer.explain.examples import Example
from whisper_steer.explain.names import Kind, Name, Names
from whisper_steer.explain.precision import Tree
from whisper_steer.explain.sounds import SENTENCES, SILENCE, SPEECH
from whisper_steer.explain.trace import CHUNK, chunked
from whisper_steer.explain.vote import fit_vote
from whisper_steer.gate.kinds import FRAMES_PER_STEP
from whisper_steer.sae.model import SAE

LEAST_PRECISION = 0.5
QUANTILES = (0.9, 0.95, 0.98, 0.99, 0.995, 0.998)
"""of a latent's activations over half a second, classes alike: the levels that are tried"""
CLIPS_TO_FIT, CLIPS_TO_CHOOSE, GROUPS_TO_CHOOSE = 4, 3, 2
"""fewest clips of its name, and recordings or speakers, on which a latent has to fire"""
MOST = 100
"""latents of a name that are kept"""
CLASS_CLIPS = 3
"""fewest clips, in either split, that make a class"""


@dataclass(frozen=True)
class Labelled:
    """What the latents do in an example."""

    names: tuple[str, ...]
    group: str
    activity: Tensor
    """(chunks, n) float16, means over half a second"""


def labelled(prefix: Prefix, sae: SAE, windows: Iterable[tuple[Audio, list[Example]]]) -> Iterable[Labelled]:
    """Run windows through encoder and SAE. ``prefix``: the encoder up to the point of the SAE."""
    for samples, examples in windows:
        hidden = prefix(window_mel(samples, prefix.n_mels)[None])[0].float()
        with torch.no_grad():
            z = sae.encode(hidden)
        for example in examples:
            activity = chunked(z[example.frames], CHUNK * FRAMES_PER_STEP).half()
            yield Labelled(example.names, example.group, activity)


def choose_names(
    fit: Sequence[Labelled], choose: Sequence[Labelled], sae: SAE, fingerprint: str, point: str
) -> Names:
    """Name the latents of an SAE. Raises `FitError` where the clips have fewer than two classes in common."""
    tree = _tree(fit, choose)
    levels = _levels(fit, tree)
    best: dict[int, tuple[int, float, Name, float]] = {}
    for level in levels:
        at_fit, at_choose = _Rates(fit, level, tree), _Rates(choose, level, tree)
        for name, rows in tree.members.items():
            if name == SENTENCES:
                continue
            fit_precision, precision = (
                tree.precision(at_fit.rates, name),
                tree.precision(at_choose.rates, name),
            )
            clips = at_choose.clips[rows].sum(dim=0)
            passes = (fit_precision >= LEAST_PRECISION) & (precision >= LEAST_PRECISION)
            passes &= (at_fit.clips[rows].sum(dim=0) >= CLIPS_TO_FIT) & (clips >= CLIPS_TO_CHOOSE)
            passes &= at_choose.groups(name, passes) >= GROUPS_TO_CHOOSE
            rate = at_fit.rates[rows].mean(dim=0)
            for latent in passes.nonzero()[:, 0].tolist():
                rank = (len(rows), -float(rate[latent]))
                if latent not in best or rank < best[latent][:2]:
                    kind = _kind(tree, name)
                    found = Name(latent, name, kind, round(float(precision[latent]), 3), int(clips[latent]))
                    best[latent] = (*rank, found, float(level[latent]))
    if not best:
        raise FitError("no latent is precise for any name; add clips, or take an SAE with more latents")
    named = _few_of_each([found for *_, found, _ in best.values()])
    chosen = torch.tensor([each.latent for each in named])
    at = torch.tensor([best[each.latent][3] for each in named])
    parts = [_voters(split, tree, chosen) for split in (fit, choose)]
    sums = torch.stack([parts[0][0][parts[0][1] == row].mean(dim=0) for row in range(len(tree.classes))])
    typical = sums.mean(dim=0).clamp_min(1e-4)
    vote = fit_vote(*parts[0], *parts[1], typical, len(tree.classes))
    return Names(fingerprint, point, named, sae.latents(chosen), at, tree.classes, vote)


def _voters(split: Sequence[Labelled], tree: Tree, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Mean activities (m, n) of the examples of known classes, and their classes (m,)."""
    rows = [tree.row(example.names) for example in split]
    means = [
        e.activity[:, chosen].float().mean(dim=0)
        for e, row in zip(split, rows, strict=True)
        if row is not None
    ]
    return torch.stack(means), torch.tensor([row for row in rows if row is not None])


def _tree(fit: Sequence[Labelled], choose: Sequence[Labelled]) -> Tree:
    counts = [dict.fromkeys({e.names for e in (*fit, *choose)}, 0) for _ in range(2)]
    for count, split in zip(counts, (fit, choose), strict=True):
        for example in split:
            count[example.names] += 1
    classes = [names for names in counts[0] if min(count[names] for count in counts) >= CLASS_CLIPS]
    if len(classes) < 2:
        raise FitError(
            f"names need two classes with {CLASS_CLIPS} clips each in the splits fit and choose; add labelled clips"
        )
    return Tree(classes)


def _levels(fit: Sequence[Labelled], tree: Tree) -> Tensor:
    """(quantiles, n_latents): each class has a part of the same size in the sample."""
    generator = torch.Generator().manual_seed(0)
    parts = []
    for names in tree.classes:
        activity = torch.cat([e.activity for e in fit if e.names == names])
        parts.append(activity[torch.randint(len(activity), (200,), generator=generator)])
    sample = torch.cat(parts).float()
    return torch.quantile(sample.T.contiguous(), torch.tensor(QUANTILES), dim=1).clamp_min(1e-4)


class _Rates:
    """How often latents fire above a level (n,): ``rates`` and ``clips``, (classes, n)."""

    def __init__(self, examples: Sequence[Labelled], level: Tensor, tree: Tree) -> None:
        self.tree = tree
        rates, clips = torch.zeros(2, len(tree.classes), len(level))
        counts = torch.zeros(len(tree.classes), 1)
        self._fires: list[tuple[int, str, Tensor]] = []
        for example in examples:
            row = tree.row(example.names)
            if row is not None:
                share = (example.activity > level).float().mean(dim=0)
                rates[row] += share
                clips[row] += share > 0
                counts[row] += 1
                self._fires.append((row, example.group, share > 0))
        self.rates, self.clips = rates / counts.clamp_min(1), clips

    def groups(self, name: str, among: Tensor) -> Tensor:
        """(n,) recordings or speakers of a name in which a latent fires; 0 but ``among`` (n,) bool."""
        chosen = among.nonzero()[:, 0]
        by_group: dict[str, Tensor] = {}
        for row, group, fires in self._fires:
            if row in self.tree.members[name]:
                by_group[group] = (
                    by_group.get(group, torch.zeros(len(chosen), dtype=torch.bool)) | fires[chosen]
                )
        found = torch.zeros(len(among))
        if by_group:
            found[chosen] = torch.stack(list(by_group.values())).float().sum(dim=0)
        return found


def _few_of_each(named: Sequence[Name]) -> list[Name]:
    """At most `MOST` latents of a name, the most precise, in the order of the SAE."""
    count: Counter[str] = Counter()
    kept = []
    for each in sorted(named, key=lambda each: -each.precision):
        count[each.name] += 1
        if count[each.name] <= MOST:
            kept.append(each)
    return sorted(kept, key=lambda each: each.latent)


def _kind(tree: Tree, name: str) -> Kind:
    if name in (SPEECH, SILENCE):
        return "speech" if name == SPEECH else "silence"
    return "word" if SPEECH in tree.classes[tree.members[name][0]] else "sound"


__all__ = ["LEAST_PRECISION", "Labelled", "choose_names", "labelled"]
