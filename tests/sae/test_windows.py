"""If these fail, SAEs are trained on other activations than the encoder's, or on those of other audio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.clips import Clip
from whisper_steer.errors import DataError
from whisper_steer.fit.degrade import mix
from whisper_steer.lab.encoders import open_encoder
from whisper_steer.models.hooks import read_activations
from whisper_steer.sae.augment import Augment
from whisper_steer.sae.recorded import Recorded
from whisper_steer.sae.windows import Heard, cut

POINTS = ["blocks.0", "ln_post"]


def clip(seconds: float, seed: int, known: bool = True) -> Clip:
    samples = 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * 16000)).astype(np.float32)
    return Clip("nonspeech", "fit", f"g{seed}", samples, id=f"{seed}", seconds=seconds if known else 0.0)


CLIPS = [clip(1.0, 0), clip(61.0, 1, known=False), clip(0.5, 2)]


@pytest.fixture(scope="module")
def heard(tiny_path: Path) -> Heard:
    return Heard(open_encoder(tiny_path, "cpu"), POINTS, CLIPS)


def test_long_clips_are_cut_into_half_minutes() -> None:
    assert [(w.start, w.frames) for w in cut(CLIPS[1])] == [(0, 1500), (480_000, 1500), (960_000, 50)]
    assert [w.start for w in cut(clip(30.05, 0))] == [0]
    assert [w.frames for w in cut(clip(0.01, 0))] == [1]


def test_frames_are_the_encoders_with_a_few_of_the_padding(heard: Heard, tiny_model: Whisper) -> None:
    assert heard.rows.tolist() == [50 + 73, 1500, 1500, 50 + 73, 25 + 74]
    found = list(heard.read([4, 0, 3], 0))
    samples = [CLIPS[2].samples(), CLIPS[0].samples(), CLIPS[1].samples()[960_000:]]
    for hidden, each in zip(found, samples, strict=True):
        whole = read_activations(tiny_model.encoder, window_mel(each)[None], POINTS)
        n = len(each) // 320
        for i, point in enumerate(POINTS):
            expected = torch.cat([whole[point][0, :n], whole[point][0, n::20]])
            torch.testing.assert_close(hidden[i].float(), expected, rtol=2e-3, atol=2e-3)


def test_the_windows_of_a_clip_stay_together_in_every_turn(heard: Heard) -> None:
    orders = [heard.order(turn, 0).tolist() for turn in range(6)]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders) and len({tuple(o) for o in orders}) > 1
    for order in orders:
        first = order.index(1)
        assert order[first : first + 3] == [1, 2, 3]


def test_what_is_recorded_is_what_was_heard_and_is_made_once(
    heard: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded(heard, tmp_path)
    for fresh, kept in zip(heard.read([4, 0, 2], 0), recorded.read([4, 0, 2], 0), strict=True):
        torch.testing.assert_close(kept, fresh, rtol=1e-2, atol=2e-3)  # batches of other sizes
    assert len(list(tmp_path.iterdir())) == 4
    with monkeypatch.context() as patch:
        patch.setattr(heard.encoder, "whole", None)
        assert [h.shape[1] for h in Recorded(heard, tmp_path).read(range(5), 0)] == heard.rows.tolist()
    for digested in tmp_path.glob("blocks.0-*.json"):
        digested.write_text("[123, 1500]")
    again = Recorded(heard, tmp_path)
    assert torch.equal(
        torch.cat(list(again.read([1, 4], 0)), 1), torch.cat(list(recorded.read([1, 4], 0)), 1)
    )


def test_a_record_is_of_one_encoder_point_and_audio(heard: Heard, multilingual_path: Path) -> None:
    others = [
        heard.digest("blocks.1"),
        Heard(heard.encoder, POINTS, [CLIPS[0], clip(61.0, 5), CLIPS[2]]).digest("blocks.0"),
        Heard(open_encoder(multilingual_path, "cpu"), POINTS, CLIPS).digest("blocks.0"),
        Heard(heard.encoder, POINTS, CLIPS, Augment(CLIPS, 0)).digest("blocks.0"),
    ]
    assert len({heard.digest("blocks.0"), *others}) == 5


def test_no_audio_is_told(heard: Heard) -> None:
    with pytest.raises(DataError, match="no audio"):
        Heard(heard.encoder, POINTS, [])


def test_noise_and_music_come_in_the_papers_shares() -> None:
    music = Clip("nonspeech", "fit", "m", np.full(16000, 0.5, np.float32), "instruments", id="m")
    noise = Clip("nonspeech", "fit", "n", -np.full(16000, 0.5, np.float32), "esc50", id="n")
    augment = Augment([noise, music], seed=0)
    speech = np.tile(np.array([0.5, -0.5], np.float32), 800)
    drawn = [float(augment(speech, i, 0).mean()) for i in range(4000)]
    assert np.mean(np.array(drawn) < 0) == pytest.approx(0.05, abs=0.011)
    assert np.mean(np.array(drawn) > 0) == pytest.approx(0.025, abs=0.008)
    assert min(drawn) == pytest.approx(float(mix(speech, noise.samples()[:1600], 0.0).mean()), rel=0.1)
    assert np.array_equal(augment(speech, 7, 1), augment(speech, 7, 1))
    assert [float(augment(speech, i, 1).mean()) for i in range(4000)] != drawn
