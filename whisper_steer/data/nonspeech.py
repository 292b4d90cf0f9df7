"""Non-speech sets: UrbanSound8K, ESC-50, MUSAN, WHAM!, FSD50K, DEMAND; and VocalSet, which is all voice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whisper_steer.data.clips import Clip, Split
from whisper_steer.data.layout import audio_files, duration, loader, read_csv, require
from whisper_steer.data.splits import split_of
from whisper_steer.errors import DataError

URBANSOUND_VOICE = frozenset({"children_playing", "street_music"})
ESC50_VOICE = frozenset({"crying_baby", "laughing", "coughing", "sneezing", "breathing", "snoring"})
FSD50K_VOICE = frozenset(
    {
        "Breathing", "Chatter", "Cheering", "Child_speech_and_kid_speaking", "Children_playing", "Chuckle_and_chortle",
        "Conversation", "Cough", "Crowd", "Crying_and_sobbing", "Female_singing", "Female_speech_and_woman_speaking",
        "Gasp", "Giggle", "Human_group_actions", "Human_voice", "Laughter", "Male_singing",
        "Male_speech_and_man_speaking", "Respiratory_sounds", "Screaming", "Shout", "Sigh", "Singing", "Sneeze",
        "Speech", "Speech_synthesizer", "Whispering", "Yell",
    }
)  # fmt: skip

WHAM_PARTS: tuple[tuple[str, Split], ...] = (("tr", "fit"), ("cv", "choose"), ("tt", "test"))


def _sound(path: Path, name: str, dataset: str, split: Split, group: str, label: str, **more: Any) -> Clip:
    return Clip(
        "nonspeech",
        split,
        group,
        path,
        dataset,
        id=f"{dataset}/{name}",
        label=label,
        seconds=duration(path),
        **more,
    )


@loader("urbansound8k")
def urbansound8k(root: Path) -> list[Clip]:
    """``metadata/UrbanSound8K.csv`` and ``audio/fold*/``. Groups and splits by source recording (fsID)."""
    require(root, "UrbanSound8K", "metadata/UrbanSound8K.csv", "audio")
    clips = []
    for row in read_csv(root / "metadata" / "UrbanSound8K.csv"):
        name, group, label = row["slice_file_name"], f"urbansound8k/{row['fsID']}", row["class"]
        path = root / "audio" / f"fold{row['fold']}" / name
        voice = label in URBANSOUND_VOICE
        clips.append(_sound(path, name, "urbansound8k", split_of(group), group, label, voice=voice))
    return clips


@loader("esc50")
def esc50(root: Path) -> list[Clip]:
    """``meta/esc50.csv`` and ``audio/``. Folds 1, 2 fit, 3 choose, 4, 5 test: no source is in two folds."""
    require(root, "ESC-50", "meta/esc50.csv", "audio")
    clips = []
    for row in read_csv(root / "meta" / "esc50.csv"):
        fold, label = int(row["fold"]), row["category"]
        split: Split = "fit" if fold < 3 else "choose" if fold == 3 else "test"
        path, group = root / "audio" / row["filename"], f"esc50/{row['src_file']}"
        voice = label in ESC50_VOICE
        clips.append(_sound(path, row["filename"], "esc50", split, group, label, voice=voice))
    return clips


@loader("musan")
def musan(root: Path) -> list[Clip]:
    """``music/`` and ``noise/`` (its ``speech/`` is left out). Music with vocals, by ANNOTATIONS, is voice."""
    require(root, "MUSAN", "music", "noise")
    vocals = {
        line.split()[0]
        for table in (root / "music").glob("*/ANNOTATIONS")
        for line in table.read_text(encoding="utf-8").splitlines()
        if len(line.split()) > 2 and line.split()[2] == "Y"
    }
    clips = []
    for part in ("music", "noise"):
        for path in audio_files(root / part):
            name, group = str(path.relative_to(root)), f"musan/{path.stem}"
            voice = path.stem in vocals
            clips.append(_sound(path, name, f"musan/{part}", split_of(group), group, part, voice=voice))
    return clips


@loader("wham")
def wham(root: Path) -> list[Clip]:
    """``wham_noise/{tr,cv,tt}/*.wav``. Recordings hold babble: WHAM! calls itself free of intelligible speech."""
    require(root, "WHAM! noise", "tr", "cv", "tt")
    return [
        _sound(path, f"{part}/{path.name}", "wham", split, f"wham/{path.stem[:3]}", "noise")
        for part, split in WHAM_PARTS
        for path in audio_files(root / part)
    ]


@loader("fsd50k")
def fsd50k(root: Path) -> list[Clip]:
    """``FSD50K.{dev,eval}_audio`` and ``FSD50K.ground_truth/{dev,eval}.csv``; dev's train and val, and eval."""
    require(
        root, "FSD50K", "FSD50K.ground_truth/dev.csv", "FSD50K.ground_truth/eval.csv", "FSD50K.eval_audio"
    )
    clips = []
    for part in ("dev", "eval"):
        for row in read_csv(root / "FSD50K.ground_truth" / f"{part}.csv"):
            split: Split = "test" if part == "eval" else "choose" if row["split"] == "val" else "fit"
            path = root / f"FSD50K.{part}_audio" / f"{row['fname']}.wav"
            voice = any(label in FSD50K_VOICE for label in row["labels"].split(","))
            name, group = f"{part}/{row['fname']}", f"fsd50k/{row['fname']}"
            clips.append(_sound(path, name, "fsd50k", split, group, row["labels"], voice=voice))
    return clips


@loader("demand")
def demand(root: Path) -> list[Clip]:
    """``ENVIRONMENT/ch01.wav``: the first of 16 channels of each environment; cafeteria and such hold voices."""
    paths = sorted(root.glob("*/ch01.wav"))
    if not paths:
        raise DataError(f"{root} is not laid out as DEMAND: no ENVIRONMENT/ch01.wav in it")
    voices = ("PCAFETER", "PRESTO", "OMEETING", "SPSQUARE", "PSTATION", "SCAFE", "TMETRO", "TBUS", "OHALLWAY")
    clips = []
    for path in paths:
        place = path.parent.name
        voice = place.split("_")[0] in voices
        clips.append(_sound(path, place, "demand", split_of(place), f"demand/{place}", place, voice=voice))
    return clips


@loader("vocalset")
def vocalset(root: Path) -> list[Clip]:
    """``FULL/SINGER/STYLE/TECHNIQUE/*.wav``: sung vowels, scales and phrases. Voice, so never in the headline."""
    require(root, "VocalSet", "FULL")
    clips = []
    for path in audio_files(root / "FULL"):
        parts = path.relative_to(root / "FULL").parts
        label = parts[2] if len(parts) > 3 else "singing"
        group = f"vocalset/{parts[0]}"
        clips.append(_sound(path, "/".join(parts), "vocalset", split_of(group), group, label, voice=True))
    return clips
