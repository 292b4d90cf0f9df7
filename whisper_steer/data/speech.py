"""Speech corpora with transcripts: LibriSpeech, FLEURS, AISHELL-1."""

from __future__ import annotations

import csv
from pathlib import Path

from whisper_steer.data.clips import Clip, Split
from whisper_steer.data.layout import duration, loader, require
from whisper_steer.data.normalize import choose_normalizer
from whisper_steer.errors import DataError

PARTS: tuple[tuple[str, Split], ...] = (("train", "fit"), ("dev", "choose"), ("test", "test"))


def _speech(
    path: Path, name: str, dataset: str, split: Split, group: str, text: str, language: str = "en"
) -> Clip:
    return Clip(
        "speech", split, group, path, dataset, id=f"{dataset}/{name}", seconds=duration(path), text=text,
        normalizer=choose_normalizer(text, language),
    )  # fmt: skip


@loader("librispeech")
def librispeech(root: Path) -> list[Clip]:
    """The folder of one subset or of several: ``test-other/SPEAKER/CHAPTER/*.flac`` with ``*.trans.txt``."""
    clips = []
    transcripts = sorted(root.rglob("*.trans.txt"))
    if not transcripts:
        raise DataError(f"{root} is not laid out as LibriSpeech: no SPEAKER/CHAPTER/*.trans.txt in it")
    for transcript in transcripts:
        chapter, speaker = transcript.parent, transcript.parent.parent
        subset = speaker.parent.resolve().name
        split: Split = (
            "fit" if subset.startswith("train") else "choose" if subset.startswith("dev") else "test"
        )
        for line in transcript.read_text(encoding="utf-8").splitlines():
            name, _, text = line.partition(" ")
            path = chapter / f"{name}.flac"
            clips.append(
                _speech(path, name, f"librispeech/{subset}", split, f"librispeech/{speaker.name}", text)
            )
    return clips


@loader("fleurs")
def fleurs(root: Path) -> list[Clip]:
    """One language or several: ``en_us/{train,dev,test}.tsv`` and ``en_us/audio/{train,dev,test}/*.wav``.

    FLEURS names no speakers; clips of one sentence are one group.
    """
    tables = [
        path
        for part, _ in PARTS
        for pattern in (f"{part}.tsv", f"*/{part}.tsv")
        for path in root.glob(pattern)
    ]
    if not tables:
        raise DataError(f"{root} is not laid out as FLEURS: no LANGUAGE/test.tsv, dev.tsv or train.tsv in it")
    clips = []
    for folder in sorted({table.parent for table in tables}):
        language = folder.resolve().name
        code = {"cmn": "zh"}.get(language.split("_")[0], language.split("_")[0])
        for part, split in PARTS:
            table = folder / f"{part}.tsv"
            if not table.is_file():
                continue
            with table.open(encoding="utf-8", newline="") as file:
                for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                    path, group = folder / "audio" / part / row[1], f"fleurs-{language}/{row[0]}"
                    name = f"{part}/{row[1]}"
                    clips.append(_speech(path, name, f"fleurs-{language}", split, group, row[3], code))
    return clips


@loader("aishell1")
def aishell1(root: Path) -> list[Clip]:
    """``data_aishell`` with ``transcript/aishell_transcript_v0.8.txt`` and ``wav/{train,dev,test}/SPEAKER/*.wav``."""
    table = "transcript/aishell_transcript_v0.8.txt"
    require(root, "AISHELL-1 (data_aishell)", table, "wav")
    texts = dict(
        line.split(maxsplit=1)
        for line in (root / table).read_text(encoding="utf-8").splitlines()
        if line.strip()
    )
    clips = []
    for part, split in PARTS:
        for path in sorted((root / "wav" / part).glob("*/*.wav")):
            if path.stem in texts:
                text, group = texts[path.stem].strip(), f"aishell/{path.parent.name}"
                clips.append(_speech(path, path.stem, "aishell1", split, group, text, "zh"))
    return clips
