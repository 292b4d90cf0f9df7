"""If these fail, latents are named by silence or by the wrong clip, or by one recording that has many clips."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from whisper_steer.data.clips import Clip
from whisper_steer.data.pack import load_speech
from whisper_steer.explain.examples import balanced, class_of, quiet, windows


def clip(label: str, i: int, seconds: float = 2.0, group: str | None = None) -> Clip:
    samples = np.random.default_rng(i).standard_normal(round(seconds * 16000)).astype(np.float32) * 0.1
    return Clip("nonspeech", "fit", group or f"{label}/{i}", samples, "x", id=f"{label}/{i}", label=label)


def test_frames_are_where_the_clip_is_and_silence_is_where_none_is() -> None:
    clips = [clip("dog", i, 0.7 + i) for i in range(8)] + [clip("rain", 9, 40.0)]
    seen = []
    for samples, examples in windows(clips):
        assert len(samples) <= 480000 and len(samples) % 320 == 0
        loud = np.abs(samples).reshape(-1, 320).max(axis=1) > 0.01  # louder than the noise floor
        covered = np.zeros(len(loud), bool)
        for example in examples:
            if example.names == ("silence",):
                assert not loud[example.frames].any()
            else:
                assert loud[example.frames].all()
                covered[example.frames] = True
            seen.append((example.names[0], len(example.frames)))
        assert (loud & ~covered).sum() <= len(examples)  # but the frame in which a clip ends
    sizes = [n for name, n in seen if name == "dog bark"]
    assert sizes == [min(300, round((0.7 + i) * 50)) for i in range(8)]
    assert ("rain", 300) in seen and Counter(name for name, _ in seen)["silence"] >= 2


def test_of_speech_only_what_is_spoken_counts() -> None:
    spoken = next(c for c in load_speech("choose") if c.language == "en" and c.seconds > 2)
    padded = np.concatenate(
        [np.zeros(16000, np.float32), spoken.samples()[:32000], np.zeros(32000, np.float32)]
    )
    (_, (example, *_)), *_ = windows([replace(spoken, source=padded)])
    assert example.names == ("sentences", "speech")
    assert 50 < len(example.frames) < 120 and example.frames.min() > 80


def test_one_word_is_a_name() -> None:
    seven = Clip("speech", "fit", "a", np.zeros(1, np.float32), text="Seven.", language="en")
    assert class_of(seven) == ('"seven"', "speech")
    assert class_of(replace(seven, language="es")) == ("sentences", "speech")
    assert (
        class_of(replace(seven, text=None))
        == class_of(replace(seven, text="two words"))
        == ("sentences", "speech")
    )


def test_a_recording_with_many_clips_does_not_crowd_out_the_others() -> None:
    clips = [clip("dog", i, group="one") for i in range(20)] + [clip("bark", 50 + i) for i in range(3)]
    chosen = balanced(clips, 4)
    assert len(chosen) == 4 and len({each.group for each in chosen}) == 4
    assert chosen == balanced(clips, 4)


def test_computed_silence_and_noise_have_their_names() -> None:
    clips = quiet("choose", 3)
    names = Counter(class_of(each)[0] for each in clips)
    assert names == {"silence": 3, "noise": 9}
    assert len({each.id for each in clips}) == 12 and {each.split for each in clips} == {"choose"}
    assert all(
        (each.samples().any(), class_of(each)[0]) in ((True, "noise"), (False, "silence")) for each in clips
    )
