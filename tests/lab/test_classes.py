"""A folder per class is read with the groups that its names tell; samples are spread over groups."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError, UsageError
from whisper_steer.lab.classes import folder_per_class, with_classes


@pytest.fixture
def singers(tmp_path: Path) -> Path:
    for technique in ("belt", "vibrato"):
        (tmp_path / technique).mkdir()
        for singer in ("f1", "f2", "m1"):
            soundfile.write(tmp_path / technique / f"{singer}_{technique}_a.wav", np.zeros(160), 16000)
    return tmp_path


def test_a_pattern_finds_the_singer_in_the_name(singers: Path) -> None:
    clips = folder_per_class(singers, r"/([fm]\d+)_")
    assert Counter((c.label, c.group) for c in clips) == Counter(
        (technique, singer) for technique in ("belt", "vibrato") for singer in ("f1", "f2", "m1")
    )
    assert {c.split for c in clips if c.group == "f1"} == {clips[0].split}  # a singer is in one split
    assert len({c.group for c in folder_per_class(singers)}) == 6  # without it every file stands alone


def test_patterns_that_find_nothing_and_folders_without_classes_are_refused(singers: Path) -> None:
    with pytest.raises(UsageError, match="finds no group"):
        folder_per_class(singers, r"/(x\d+)_")
    with pytest.raises(UsageError, match="no regular expression"):
        folder_per_class(singers, "(")
    with pytest.raises(DataError, match="each class is a folder"):
        folder_per_class(singers / "belt")


def test_samples_are_spread_over_groups_and_small_classes_left_out() -> None:
    clips = [
        Clip("nonspeech", "fit", group, np.zeros(1, np.float32), label=label, id=f"{label}/{group}/{i}")
        for label, group, n in [("dog", "a", 9), ("dog", "b", 2), ("rain", "c", 5), ("once", "d", 1)]
        for i in range(n)
    ]
    chosen, y = with_classes(clips, "label", per_class=4)
    assert Counter(zip(y, (c.group for c in chosen), strict=True)) == {
        ("dog", "a"): 2, ("dog", "b"): 2, ("rain", "c"): 4,
    }  # fmt: skip
    with pytest.raises(UsageError, match="no clip has label cat; there are dog, once, rain"):
        with_classes(clips, "label", only=("cat",))
    with pytest.raises(DataError, match="fewer than two classes"):
        with_classes(clips, "language")
