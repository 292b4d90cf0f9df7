"""If these fail, latents are said to stand for speech, or to tell it, that do not."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from whisper_steer.data.clips import Clip
from whisper_steer.lab.specialised import Activity, aurocs, by_clip, frequency, grouped_auroc, separability


def test_frequencies_and_thresholds_are_those_of_planted_latents() -> None:
    """Latent 0: 30 % of the frames inside, none outside; 1: everywhere; 2: 3 % inside, in every clip there."""
    frames = np.full(4, 100.0)
    active = np.array([[60, 100, 3], [0, 100, 3], [0, 100, 0], [0, 100, 0]], float)
    found = frequency(Activity(active, active, frames), np.array([True, True, False, False]))
    np.testing.assert_allclose(found.frames_in, [0.3, 1, 0.03])
    np.testing.assert_allclose(found.frames_out, [0, 1, 0])
    np.testing.assert_allclose(found.clips_in - found.clips_out, [0.5, 0, 1])
    assert found.counts() == {
        "frames > 0.2": 1, "frames > 0.1": 1, "frames > 0.04": 1, "clips > 0.5": 1, "clips > 0.3": 2,
    }  # fmt: skip


def test_longer_clips_weigh_more_in_frames() -> None:
    clip = np.array([0, 0, 0, 1, 2])
    active = by_clip(clip, 3) @ np.array([[1.0], [1.0], [1.0], [0.0], [0.0]])
    found = frequency(Activity(active, active, np.array([3.0, 1.0, 1.0])), np.array([True, True, False]))
    assert found.frames_in[0] == 0.75 and found.clips_in[0] == 0.5


def test_aurocs_are_those_of_sklearn() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 4, (40, 5)).astype(float), rng.random(40) < 0.4
    expected = [roc_auc_score(positive, score) for score in scores.T]
    np.testing.assert_allclose(aurocs(scores, positive), expected)
    names = np.arange(40).astype(str)
    high, low = scores[positive, 0], scores[~positive, 0]
    found = grouped_auroc(high, names[positive], low, names[~positive], seed=0)
    assert found.value == pytest.approx(expected[0]) and found.low < found.value < found.high


def test_the_telling_latent_is_found_on_one_half_and_measured_on_the_other() -> None:
    rng = np.random.default_rng(0)
    clips = [
        Clip("speech" if i % 2 else "nonspeech", "test", f"group{i}", np.zeros(1, np.float32), "set")
        for i in range(80)
    ]
    speech = np.array([clip.kind == "speech" for clip in clips])
    strength = rng.random((80, 50))
    noise = separability(Activity(strength, strength, np.ones(80)), clips, speech)
    assert (
        noise is not None and noise.auroc.low < 0.5 < noise.auroc.high
    )  # the best of noise is noise elsewhere
    strength[:, 7] = np.where(speech, 0, 1) + 0.1 * rng.random(80)
    found = separability(Activity(strength, strength, np.ones(80)), clips, speech)
    assert found is not None and found.latent == 7 and not found.more
    assert found.auroc.value == 1
    assert separability(Activity(strength, strength, np.ones(80)), clips, np.ones(80, bool)) is None
