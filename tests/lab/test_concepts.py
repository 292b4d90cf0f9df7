"""A concept's frames are those in which it can be heard, and a frame is on the side of its clip."""

import numpy as np
import pytest

from whisper_steer.data.clips import Clip, Split
from whisper_steer.errors import UsageError
from whisper_steer.lab.concepts import beside, on_frames, one_against_rest, sampled_frames
from whisper_steer.lab.frames import Frames

SPLITS: tuple[Split, ...] = ("fit", "test")


@pytest.fixture
def clips() -> list[Clip]:
    samples = np.zeros(3200, np.float32)  # ten frames, sound in the first half
    samples[:1600] = 0.5
    return [
        Clip("speech", split, f"{split}{i}", samples, id=f"{split}{i}")
        if i % 2
        else Clip("nonspeech", split, f"{split}{i}", samples, label="dog", id=f"{split}{i}")
        for split in SPLITS
        for i in range(8)
    ]


def test_quiet_frames_are_left_out(clips: list[Clip]) -> None:
    clip = np.repeat(np.arange(len(clips)), 10)
    places = sampled_frames(Frames(np.zeros((len(clip), 2), np.float16), clip, clips), 3)
    assert len(places) == 3 * len(clips)
    assert (places % 10 < 5).all()
    assert np.bincount(clip[places]).tolist() == [3] * len(clips)


def test_one_class_against_the_rest_and_what_is_beside_it(clips: list[Clip]) -> None:
    concept = one_against_rest(clips, "kind", "speech")
    assert set(concept.y) == {"speech", "rest"}
    frames = on_frames(concept, np.repeat(np.arange(len(clips)), 2))
    ((fit, score),) = frames.held.folds
    assert fit.tolist() == list(range(16))
    assert score.tolist() == list(range(16, 32))
    assert frames.held.units[16] == "test0"
    assert beside(clips, "label") is None  # dogs alone
    assert beside(clips, "kind", without="speech") is None
    with pytest.raises(UsageError, match="no clip has label cat; there are dog"):
        one_against_rest(clips, "label", "cat")
