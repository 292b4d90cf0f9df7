"""A user's own recordings: a JSONL manifest, or a plain folder of audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from whisper_steer.data.clips import Clip, Kind, Split
from whisper_steer.data.jsonl import one_of, read_manifest
from whisper_steer.data.layout import audio_files, duration, loader
from whisper_steer.data.normalize import choose_normalizer
from whisper_steer.data.splits import one_side, split_of
from whisper_steer.errors import DataError

UNVERIFIED_TRANSCRIPTS = frozenset({"picovoice-wake-words", "picovoice-barista"})
"""data sets whose ``text`` nobody checked: no WER on them, but false suppression and identical tokens count"""


@loader("manifest")
def manifest(path: Path) -> list[Clip]:
    """One JSON object a line: ``path`` (relative to the manifest) and ``kind`` (speech | nonspeech), and if known
    ``dataset``, ``split`` (fit | choose | test), ``seconds``, ``group``; speech has ``text`` (null: no transcript) and
    may have ``language`` and ``normalizer``; non-speech has ``label`` and ``voice``.

    A group of "?" is unknown: each of its clips counts as a group of its own, which makes intervals optimistic. A
    missing split is drawn by `whisper_steer.data.splits.split_of`. Raises `DataError`.
    """

    def build(row: dict[str, Any]) -> Clip:
        kind, dataset, file = one_of(row, "kind", get_args(Kind)[:2]), row.get("dataset", ""), row["path"]
        group = row.get("group") or "?"
        group = f"{dataset}/{file if group == '?' else group}"
        spoken = kind == "speech"
        text = row.get("text") if spoken and dataset not in UNVERIFIED_TRANSCRIPTS else None
        return Clip(
            kind,
            one_of(row, "split", get_args(Split)) if row.get("split") else split_of(group),
            group,
            path.parent / file,
            dataset,
            id=file,
            seconds=float(row["seconds"]) if "seconds" in row else duration(path.parent / file),
            text=text,
            normalizer=row.get("normalizer") or choose_normalizer(text, row.get("language", "en")),
            language=row.get("language", "en") if spoken else None,
            label=row.get("label"),
            voice=bool(row.get("voice")),
        )

    return one_side(list(read_manifest(path, build)))


def folder(root: Path, kind: Kind) -> list[Clip]:
    """Every audio file below a folder. Its group is its own sub-folder, or itself where it lies at the top.

    ``NAME.txt`` beside ``NAME.wav`` is the transcript of speech. Raises `DataError`.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; pass a folder of {kind} recordings")
    clips = []
    for path in audio_files(root):
        beside, relative = path.with_suffix(".txt"), path.relative_to(root)
        text = beside.read_text(encoding="utf-8").strip() if kind == "speech" and beside.is_file() else None
        group = f"{root.name}/{relative.parts[0] if len(relative.parts) > 1 else relative.stem}"
        clips.append(
            Clip(
                kind, split_of(group), group, path, root.name, id=f"{root.name}/{relative}",
                seconds=duration(path), text=text, normalizer=choose_normalizer(text),
            )
        )  # fmt: skip
    if not clips:
        raise DataError(f"{root} holds no audio (.wav, .flac, .mp3 and such)")
    return clips


@loader("speech")
def speech_folder(root: Path) -> list[Clip]:
    """Any audio files in which somebody speaks; a sub-folder is a speaker."""
    return folder(root, "speech")


@loader("nonspeech")
def nonspeech_folder(root: Path) -> list[Clip]:
    """Any audio files in which nobody speaks; a sub-folder is a source recording."""
    return folder(root, "nonspeech")
