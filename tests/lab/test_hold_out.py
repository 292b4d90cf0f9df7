"""No speaker or source recording is on both sides; where a class is one speaker, the table says so."""

import numpy as np
import pytest

from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError
from whisper_steer.lab.hold_out import hold_out


def clip(split: str, group: str, number: int) -> Clip:
    return Clip("speech", split, group, np.zeros(1, np.float32), id=f"{group}/{number}")


def test_own_splits_without_groups_that_are_scored() -> None:
    places = [("fit", "a"), ("fit", "b"), ("test", "b"), ("test", "c"), ("choose", "d"), ("fit", "e")]
    clips = [clip(split, group, i) for split, group in places for i in range(2)]
    held = hold_out(clips, np.array(["x", "y"] * 6))
    ((fit, score),) = held.folds
    assert {clips[int(i)].group for i in fit} == {"a", "e"}
    assert {clips[int(i)].group for i in score} == {"b", "c"}
    assert held.how == "split test, groups of its own"
    rows, compact = held.used()
    assert [clips[int(rows[i])].group for i in compact.folds[0][1]] == ["b", "b", "c", "c"]
    assert compact.units[compact.folds[0][1]].tolist() == ["b", "b", "c", "c"]


def test_a_class_of_one_group_is_divided_by_clip_and_it_is_said() -> None:
    clips = [clip("fit", "es", i) for i in range(6)] + [clip("test", "fr", i) for i in range(6)]
    held = hold_out(clips, np.array(["es"] * 6 + ["fr"] * 6))
    ((fit, score),) = held.folds
    assert len(fit) == len(score) == 6
    assert not set(fit) & set(score)
    assert "one group a class: es, fr" in held.how
    assert len(set(held.units)) == 12


def test_speakers_on_both_sides_are_refused_and_left_out_in_turn() -> None:
    clips = [clip(split, group, i) for split in ("fit", "test") for group in "abc" for i in range(2)]
    classes = np.array(["0", "1"] * 6)
    with pytest.raises(DataError, match="--leave-one-group-out"):
        hold_out(clips, classes)
    held = hold_out(clips, classes, leave_one_out=True)
    assert len(held.folds) == 3
    for fit, score in held.folds:
        assert not {clips[int(i)].group for i in fit} & {clips[int(i)].group for i in score}
    assert sorted(np.concatenate([score for _, score in held.folds])) == list(range(12))


def test_a_class_of_one_group_cannot_be_left_out() -> None:
    clips = [clip("fit", group, i) for group in "abc" for i in range(2)]
    with pytest.raises(DataError, match="only one group has rare"):
        hold_out(clips, np.array(["x", "y", "x", "y", "rare", "x"]), leave_one_out=True)
