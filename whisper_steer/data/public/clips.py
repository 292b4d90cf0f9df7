"""Clips of public corpora, split for a fit: no speaker and no source recording on both sides.

Only `fit` and `choose` are filled from development parts of speech corpora, so that their test parts stay for reports:

- LibriSpeech: by speaker, whatever the part, three fifths to ``fit``.
- FLEURS names no speakers, so a whole language is on one side: `FLEURS_CHOOSE`.
- ESC-50 by its folds, MUSAN by its files, as in the benchmark; what is ``test`` there is not read by a fit.
  Music with vocals is left out.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

from whisper_steer.data.clips import Clip, Split
from whisper_steer.data.public.catalogue import Corpus
from whisper_steer.data.public.fetch import Tell, fetch
from whisper_steer.errors import DataError

FLEURS_CHOOSE = frozenset({"cmn_hans_cn", "es_419", "hi_in", "hu_hu"})
"""four languages of four families; the promise is calibrated on languages that nothing was fitted on"""


def load_public(corpora: list[Corpus], tell: Tell) -> list[Clip]:
    """Clips of all, downloaded where they are not here yet. Raises as `whisper_steer.data.public.fetch.fetch`, and
    `DataError` where a corpus is not laid out as it should be."""
    folders = fetch(corpora, tell)
    return [clip for corpus in corpora for clip in clips_of(corpus, folders[corpus.name])]


def clips_of(corpus: Corpus, folder: Path) -> list[Clip]:
    """Clips of one corpus in its folder. Raises `DataError`."""
    found = [_placed(clip) for clip in corpus.read(folder / corpus.root)]
    if not found:
        raise DataError(f"{folder} holds no clips; delete it, and the same command downloads it again")
    return [clip for clip in found if not (clip.voice and clip.dataset.startswith("musan"))]


def _placed(clip: Clip) -> Clip:
    """The clip in the split that it has here."""
    if clip.dataset.startswith("librispeech/"):
        return replace(clip, split=_side(clip.group))
    if clip.dataset.startswith("fleurs-"):
        language = clip.dataset.removeprefix("fleurs-")
        split: Split = "choose" if language in FLEURS_CHOOSE else "fit"
        return replace(clip, dataset="fleurs", group=f"fleurs/{language}", split=split)
    return clip


def _side(speaker: str) -> Split:
    return "fit" if zlib.crc32(f"public:{speaker}".encode()) % 5 < 3 else "choose"


__all__ = ["FLEURS_CHOOSE", "clips_of", "load_public"]
