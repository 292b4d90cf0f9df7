"""A JSONL manifest, and a plain folder of audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whisper_steer.errors import DataError
from whisper_steer.manifest import one_of, read_manifest

from ..clips import Clip, from_file
from ..normalize import choose_normalizer
from .layout import audio_files, duration, loader, split_of

KINDS, SPLITS = ("speech", "nonspeech"), ("fit", "choose", "test")
UNVERIFIED_TRANSCRIPTS = frozenset({"picovoice-wake-words", "picovoice-barista"})
"""data sets whose ``text`` nobody checked: no WER on them, but false suppression and identical tokens count"""


@loader("manifest")
def manifest(path: Path) -> list[Clip]:
    """One JSON object a line: ``path`` (relative to the manifest), ``kind`` (speech | nonspeech), ``dataset``,
    ``split`` (fit | choose | test), ``seconds``, ``group``; speech has ``text`` (null: no transcript) and may have
    ``language`` and ``normalizer``; non-speech has ``label`` and ``voice``.

    A group of "?" is unknown: each of its clips counts as a group of its own, which makes intervals optimistic.
    """

    def build(row: dict[str, Any]) -> Clip:
        text = None if row["dataset"] in UNVERIFIED_TRANSCRIPTS else row.get("text")
        group = row.get("group", "?")
        return from_file(
            path.parent / row["path"],
            id=row["path"],
            kind=one_of(row, "kind", KINDS),
            dataset=row["dataset"],
            split=one_of(row, "split", SPLITS),
            group=f"{row['dataset']}-{row['path'] if group == '?' else group}",
            seconds=float(row["seconds"]),
            text=text if row["kind"] == "speech" else None,
            normalizer=row.get("normalizer") or choose_normalizer(text, row.get("language", "en")),
            language=row.get("language", "en") if row["kind"] == "speech" else None,
            label=row.get("label"),
            voice=bool(row.get("voice", False)),
        )

    return list(read_manifest(path, build))


def _folder(root: Path, kind: str) -> list[Clip]:
    if not root.is_dir():
        raise DataError(f"{root} is not a folder")
    clips = []
    for path in audio_files(root):
        beside = path.with_suffix(".txt")
        text = beside.read_text(encoding="utf-8").strip() if kind == "speech" and beside.is_file() else None
        name, group = str(path.relative_to(root)), f"{root.name}/{path.relative_to(root).parent}/{path.stem}"
        clips.append(
            from_file(
                path, id=f"{root.name}/{name}", kind=kind, dataset=root.name, split=split_of(group), group=group,
                seconds=duration(path), text=text, normalizer=choose_normalizer(text),
            )
        )  # fmt: skip
    return clips


@loader("speech")
def speech_folder(root: Path) -> list[Clip]:
    """Any audio files in which somebody speaks; ``NAME.txt`` beside ``NAME.wav`` is its transcript."""
    return _folder(root, "speech")


@loader("nonspeech")
def nonspeech_folder(root: Path) -> list[Clip]:
    """Any audio files in which nobody speaks."""
    return _folder(root, "nonspeech")
