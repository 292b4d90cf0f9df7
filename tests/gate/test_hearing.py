"""If these fail, speech is not heard where windows meet or recordings end, or clips are cut through words."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import make_artifact, telling_artifact
from whisper.audio import N_SAMPLES
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.gate.hearing import OVERLAP, STEP_SAMPLES, STEPS, Hearing, listen, window_starts
from whisper_steer.gate.kinds import Gate
from whisper_steer.gate.spans import STEP_SECONDS


@pytest.fixture(scope="module")
def prefix(tiny_model: Whisper) -> Prefix:
    return Prefix(tiny_model.encoder, "blocks.1")


@pytest.fixture(scope="module")
def gate(tiny_model: Whisper) -> Gate:
    return make_artifact(tiny_model.encoder, threshold=0.0).gate


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(seconds * 16000))).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 12.3, 30.0, 30.01, 57.0, 57.02, 100.007])
def test_windows_cover_a_recording_and_the_last_ends_with_it(seconds: float) -> None:
    n = round(seconds * 16000)
    starts = window_starts(n)
    assert starts[0] == 0
    assert all(start % STEP_SAMPLES == 0 for start in starts)
    assert 0 <= starts[-1] + N_SAMPLES - n < STEP_SAMPLES or starts == [0]
    assert all(0 < b - a <= N_SAMPLES - OVERLAP for a, b in pairwise(starts))


def test_each_place_is_heard_by_the_window_that_it_is_well_within(prefix: Prefix, gate: Gate) -> None:
    """The evidence of a long recording is that of each window by itself, but where a neighbour sees further."""
    audio = noise(70.5)
    whole = listen(prefix, gate, audio, 0.0)
    assert len(whole.evidence) == -(-len(audio) // STEP_SAMPLES)
    assert np.isfinite(whole.evidence).all()
    starts = window_starts(len(audio))
    half = OVERLAP // 2 // STEP_SAMPLES
    for i, start in enumerate(starts):
        alone = gate.evidence(prefix(window_mel(audio[start : start + N_SAMPLES])[None]))[0].numpy()
        place = start // STEP_SAMPLES
        first = 0 if i == 0 else half
        last = STEPS if i == len(starts) - 1 else starts[i + 1] // STEP_SAMPLES + half - place
        part = whole.evidence[place + first : place + last]
        assert np.array_equal(part, alone[first:last][: len(part)])
        assert last - first > 300


def test_a_batch_hears_what_one_window_at_a_time_hears(prefix: Prefix, gate: Gate) -> None:
    audio = noise(100.0)
    one, three = (listen(prefix, gate, audio, 0.0, batch=n).evidence for n in (1, 3))
    assert three == pytest.approx(one, abs=1e-4)


def test_a_loud_part_far_away_changes_nothing(prefix: Prefix, gate: Gate) -> None:
    """One spectrogram of the whole is floored 8 decades below its loudest place: quiet speech would drown."""
    audio = noise(60.0) * np.float32(0.01)
    louder = audio.copy()
    louder[45 * 16000 :] *= 90
    quiet, loud = (listen(prefix, gate, each, 0.0).evidence[:700] for each in (audio, louder))
    assert np.array_equal(quiet, loud)


def test_arrays_and_tensors_are_heard_alike(prefix: Prefix, gate: Gate) -> None:
    audio = noise(5.0)
    expected = listen(prefix, gate, audio, 0.0).evidence
    assert np.array_equal(listen(prefix, gate, torch.from_numpy(audio), 0.0).evidence, expected)


def test_speech_is_found_where_it_is(tiny_model: Whisper) -> None:
    """A gate that tells noise from a tone, on a recording that changes between them."""
    tone = (0.2 * np.sin(2 * np.pi * 440 * np.arange(30 * 16000) / 16000)).astype(np.float32)
    artifact = telling_artifact(tiny_model.encoder, noise(30.0), tone)
    prefix = Prefix(tiny_model.encoder, artifact.gate_point)
    found = listen(prefix, artifact.gate, np.concatenate([tone, noise(40.0, 1), tone]), 0.0)
    (span,) = found.spans
    assert (span.start, span.end) == pytest.approx((30.0, 70.0), abs=3.0)
    assert not found.whole
    assert listen(prefix, artifact.gate, tone, 0.0).spans == []
    assert listen(prefix, artifact.gate, noise(9.0, 1), 0.0).whole


def test_a_window_that_cannot_be_judged_counts_as_speech(prefix: Prefix, gate: Gate) -> None:
    """fp16 overflows on some graphics cards: such a window must not pass for one in which nobody speaks."""

    class Overflowing(Prefix):
        def __call__(self, mel: torch.Tensor) -> torch.Tensor:
            hidden = super().__call__(mel).clone()
            hidden[:, 700, 5] = torch.nan
            return hidden

    broken = Overflowing(prefix.encoder, "blocks.1")
    assert listen(broken, gate, noise(20.0), 1e9).whole
    assert not listen(prefix, gate, noise(20.0), 1e9).spans


@pytest.fixture
def hearing() -> Hearing:
    """Speech in 10 to 20 s and in 40 to 100 s, weakest in 61 s."""
    evidence = np.full(3000, -4.0, np.float32)
    evidence[262:488] = 2.0
    evidence[1012:2488] = 3.0
    evidence[1525] = 0.5
    return Hearing(evidence, 0.0, 120.0)


def test_spans_within_the_users_clips(hearing: Hearing) -> None:
    assert [(span.start, span.end) for span in hearing.spans] == [(10.0, 20.0), (40.0, 100.0)]
    assert hearing.within([(0.0, 120.0)]) == [(10.0, 20.0), (40.0, 100.0)]
    assert hearing.within([(15.0, 50.0), (20.0, 40.0), (99.0, 500.0)]) == [
        (15.0, 20.0),
        (40.0, 50.0),
        (99.0, 100.0),
    ]
    assert hearing.within([]) == []


def test_long_spans_are_cut_where_speech_is_weakest(hearing: Hearing) -> None:
    pieces = hearing.chunks(30.0)
    assert pieces[:2] == [(10.0, 20.0), (40.0, 61.0)]
    assert pieces[-1][1] == 100.0
    assert all(end - start <= 30.0 for start, end in pieces)
    assert all(a[1] == b[0] for a, b in pairwise(pieces[1:]))
    assert hearing.chunks(30.0, [(0.0, 12.0)]) == [(10.0, 12.0)]


def test_long_spans_are_cut_in_a_breath_where_there_is_one(hearing: Hearing) -> None:
    """Not in the word before it, where the evidence happens to be weakest, nor in a pause that music fills."""
    level = np.full(3000, 1.0, np.float32)
    level[1525:1528] = 0.5  # a stop within a word
    level[1600:1610] = 0.3  # a breath
    level[1650:1700] = 0.1  # quiet, and surely speech
    evidence = hearing.evidence.copy()
    evidence[1400:1640] -= 1.0
    heard = Hearing(evidence, 0.0, 120.0, level)
    (_, cut) = heard.chunks(30.0)[1]
    assert 64.0 <= cut <= 64.4


def test_the_level_is_that_of_the_recording(prefix: Prefix, gate: Gate) -> None:
    """In every window, also where two meet."""
    audio = noise(40.0)
    for second in (10, 35):
        audio[second * 16000 : (second + 1) * 16000] *= 1e-3
    level = listen(prefix, gate, audio, 0.0).level
    assert level is not None and len(level) == 1000
    quiet = np.flatnonzero(level < level.mean() - 0.3)
    assert set(quiet[1:-1]) <= {*range(249, 277), *range(874, 902)} and len(quiet) >= 46


@pytest.mark.parametrize("longest", [0.1, 0.5, 7.77, 29.99])
def test_pieces_are_never_longer_than_asked_for(longest: float) -> None:
    rng = np.random.default_rng(0)
    hearing = Hearing(rng.normal(5, 1, 2500).astype(np.float32), 0.0, 99.99)
    pieces = hearing.chunks(longest)
    assert max(end - start for start, end in pieces) <= longest + 1e-6
    assert min(end - start for start, end in pieces) > 0
    assert (pieces[0][0], pieces[-1][1]) == (0.0, 99.99)


def test_the_strongest_evidence_between_two_places(hearing: Hearing) -> None:
    assert hearing.strongest(0.0, 5.0) == -4.0
    assert hearing.strongest(0.0, 11.0) == 2.0
    assert hearing.strongest(61.0, 61.0) == 0.5
    assert hearing.strongest(119.0, 500.0) == -4.0
    assert hearing.strongest(-3.0, 0.0) == -4.0
    assert hearing.strongest(400.0, 500.0) == -4.0
    assert round(61.0 / STEP_SECONDS) == 1525
