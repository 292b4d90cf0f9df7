"""If these fail, what was trained cannot be trained again: the scenes depend on the machine that made them."""

from pathlib import Path

import numpy as np
import pytest

from whisper_steer.data.load import load
from whisper_steer.data.splits import select
from whisper_steer.errors import DataError, UsageError
from whisper_steer.fit.scenes import scenes as scenes_of
from whisper_steer.fit.windows import plan
from whisper_steer.lab import scenes


def test_each_part_is_what_its_seed_gives_in_one_process(manifest: str, scene_folder: Path) -> None:
    clips = load(manifest)
    fit, choose = (
        tuple(select(clips, kind, split) for kind in ("speech", "nonspeech")) for split in ("fit", "choose")
    )
    expected = [w for part, n in enumerate((2, 2, 1)) for w in scenes_of(*fit, n, 1000 + part)]
    expected += plan(*fit, 1, 1, 5000)
    made = scenes.read(scene_folder, "fit")
    assert len(made) == len(expected) == 7
    for row, window in enumerate(expected):
        assert np.array_equal(made.samples[row], window.samples)
        assert np.array_equal(made.labels[row], window.labels)
        assert made.content[row] == window.content
    held_out = scenes.read(scene_folder, "choose")
    for row, window in enumerate(scenes_of(*choose, 2, 9000)):
        assert np.array_equal(held_out.samples[row], window.samples)


def test_nothing_is_overwritten_and_half_a_folder_is_never_left(
    manifest: str, scene_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="name a new folder"):
        scenes.make([manifest], 1, 0, 1, 1, scene_folder)
    with pytest.raises(DataError):
        scenes.make([f"manifest:{tmp_path / 'none.jsonl'}"], 1, 0, 1, 1, tmp_path / "out")
    assert not list(tmp_path.iterdir())
    with pytest.raises(DataError, match=r"python -m whisper_steer\.lab\.scenes"):
        scenes.read(tmp_path, "fit")
