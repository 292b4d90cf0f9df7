"""Layouts that people have on disk are read, and what is missing is named: a wrong split would test on fitted data."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from whisper_steer.data.load import LOADERS, load
from whisper_steer.data.splits import stratified
from whisper_steer.errors import DataError, UsageError

SHARED = Path(__file__).parents[3] / "shared"


def sound(path: Path, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(int(16000 * seconds), np.float32), 16000)


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def make(kind: str, root: Path) -> None:
    """A small data set in its published layout."""
    if kind == "librispeech":
        for subset in ("train-clean-100", "dev-clean", "test-other"):
            sound(root / subset / "84" / "121" / "84-121-0000.flac")
            text(root / subset / "84" / "121" / "84-121.trans.txt", "84-121-0000 GO ON\n")
    elif kind == "urbansound8k":
        head = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"
        text(
            root / "metadata" / "UrbanSound8K.csv",
            head + "1-0.wav,1,0,4,1,1,0,siren\n2-0.wav,2,0,4,1,1,9,street_music\n",
        )
        for name in ("1-0.wav", "2-0.wav"):
            sound(root / "audio" / "fold1" / name)
    elif kind == "esc50":
        head = "filename,fold,target,category,esc10,src_file,take\n"
        rows = "a.wav,1,0,dog,True,11,A\nb.wav,3,0,rain,True,12,A\nc.wav,5,0,crying_baby,True,13,A\n"
        text(root / "meta" / "esc50.csv", head + rows)
        for name in "abc":
            sound(root / "audio" / f"{name}.wav")
    elif kind == "musan":
        text(root / "music" / "fma" / "ANNOTATIONS", "m-0 rock N x\nm-1 folk Y x\n")
        for name in ("music/fma/m-0.wav", "music/fma/m-1.wav", "noise/free/n-0.wav"):
            sound(root / name)
    elif kind == "wham":
        for part in ("tr", "cv", "tt"):
            sound(root / part / "011a0101_0.wav")
    elif kind == "fsd50k":
        text(
            root / "FSD50K.ground_truth" / "dev.csv",
            'fname,labels,mids,split\n1,"Bark,Dog",x,train\n2,"Speech",x,val\n',
        )
        text(root / "FSD50K.ground_truth" / "eval.csv", "fname,labels,mids\n3,Rain,x\n")
        for name in ("dev_audio/1", "dev_audio/2", "eval_audio/3"):
            sound(root / f"FSD50K.{name}.wav")
    elif kind == "demand":
        sound(root / "DKITCHEN" / "ch01.wav")
        sound(root / "PCAFETER" / "ch01.wav")
    elif kind == "fleurs":
        for part in ("train", "dev", "test"):
            text(root / "ja_jp" / f"{part}.tsv", "7\tx.wav\tRaw\tこんにちは\tc\t1\tMALE\n")
            sound(root / "ja_jp" / "audio" / part / "x.wav")
    elif kind == "aishell1":
        text(root / "transcript" / "aishell_transcript_v0.8.txt", "BAC009S0764W0121 甚至 出现\n")
        sound(root / "wav" / "test" / "S0764" / "BAC009S0764W0121.wav")
    elif kind == "vocalset":
        sound(root / "FULL" / "female1" / "scales" / "vibrato" / "f1_scales.wav")
    else:
        sound(root / "a" / "x.wav")
        text(root / "a" / "x.txt", "hello there")


FOLDERS = sorted(set(LOADERS) - {"synthetic", "manifest"})


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_published_layout_is_read(kind: str, tmp_path: Path) -> None:
    make(kind, tmp_path)
    clips = load(f"{kind}:{tmp_path}")
    assert all(clip.seconds == pytest.approx(0.5) and len(clip.samples()) == 8000 for clip in clips)
    assert len({clip.id for clip in clips}) == len(clips)
    assert {clip.split for clip in clips} <= {"fit", "choose", "test"}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_wrong_folder_is_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=str(tmp_path)):
        load(f"{kind}:{tmp_path}")


@pytest.mark.parametrize(
    ("kind", "voices"),
    [("urbansound8k", 1), ("esc50", 1), ("musan", 1), ("fsd50k", 1), ("demand", 1), ("vocalset", 1)],
)
def test_classes_with_voices_are_held_apart(kind: str, voices: int, tmp_path: Path) -> None:
    make(kind, tmp_path)
    assert sum(clip.voice for clip in load(f"{kind}:{tmp_path}")) == voices


def test_official_splits_are_kept(tmp_path: Path) -> None:
    make("librispeech", tmp_path)
    found = {clip.dataset: clip.split for clip in load(f"librispeech:{tmp_path}")}
    assert found == {
        "librispeech/train-clean-100": "fit", "librispeech/dev-clean": "choose", "librispeech/test-other": "test",
    }  # fmt: skip


def test_languages_without_spaces_are_scored_by_character(tmp_path: Path) -> None:
    make("fleurs", tmp_path)
    assert {clip.normalizer for clip in load(f"fleurs:{tmp_path}")} == {"characters"}


def test_a_manifest_reads_and_its_errors_name_the_line(tmp_path: Path) -> None:
    row = {
        "path": "x.wav",
        "kind": "speech",
        "dataset": "d",
        "split": "test",
        "seconds": 1,
        "group": "?",
        "text": "two",
    }
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps(row) + "\n")
    (clip,) = load(f"manifest:{path}")
    assert (clip.normalizer, clip.group, clip.text) == ("digits", "d/x.wav", "two")
    path.write_text(json.dumps(row) + "\n{broken\n")
    with pytest.raises(DataError, match="line 2"):
        load(f"manifest:{path}")
    for field, known in (("kind", "speech, nonspeech"), ("split", "fit, choose, test")):
        path.write_text("".join(json.dumps(r) + "\n" for r in (row, {**row, field: "Speech"})))
        with pytest.raises(DataError, match=f"line 2: {field} 'Speech' is none of {known}"):
            load(f"manifest:{path}")


def test_unknown_kinds_list_the_known() -> None:
    with pytest.raises(UsageError, match="librispeech"):
        load("libri:/x")


def test_no_group_of_the_built_in_set_is_heard_twice_alike() -> None:
    clips = [clip for clip in load("synthetic") if clip.kind == "nonspeech"]
    by_split = {split: [c for c in clips if c.split == split] for split in ("fit", "choose", "test")}
    assert {c.group for c in by_split["test"]} < {c.group for c in by_split["fit"]}
    assert len(by_split["test"]) > 30
    first = {split: next(c for c in part if c.label == "rain").samples() for split, part in by_split.items()}
    n = min(map(len, first.values()))
    assert not np.array_equal(first["fit"][:n], first["test"][:n])


@pytest.mark.slow
def test_speech_of_the_built_in_set_is_what_its_text_says_it_is() -> None:
    """A clip is read by its place in a file: one off, and every word error rate is of other words."""
    from whisper_steer.data.pack import load_pack

    pack = [clip for clip in load_pack() if clip.kind == "speech"]
    clips = [clip for clip in load("synthetic") if clip.kind == "speech"]
    assert {clip.split for clip in clips} == {"fit", "choose", "test"}
    for clip in clips[:: len(clips) // 20]:
        source = pack[int(clip.id.split("/")[1])]
        assert source.text == clip.text
        assert np.array_equal(source.samples(), clip.samples())
        assert clip.seconds == len(source.samples()) / 16000


@pytest.mark.shared
def test_the_shared_manifest_keeps_groups_apart() -> None:
    path = SHARED / "data" / "manifest.jsonl"
    if not path.is_file():
        pytest.skip("the shared data is not here")
    splits = defaultdict(set)
    for clip in load(f"manifest:{path}"):
        if clip.dataset in ("urbansound8k", "librispeech-train-clean-100"):
            splits[clip.group].add(clip.split)
    assert all(len(found) == 1 for found in splits.values())


def test_a_limit_spreads_over_groups_and_is_nested() -> None:
    clips = load("synthetic")
    small, large = stratified(clips, 10, seed=1), stratified(clips, 20, seed=1)
    sounds = [c for c in small if c.kind == "nonspeech"]
    assert len({c.group for c in sounds}) == len(sounds) == 10
    assert {c.id for c in small} <= {c.id for c in large}
