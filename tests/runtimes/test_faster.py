"""Who changes one import line of a faster-whisper program must lose nothing but the text that nobody spoke."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
import pytest
import soundfile
import torch
from helpers import ALWAYS_OPEN, ALWAYS_SHUT, Told, make_artifact, telling_artifact
from whisper.model import Whisper

from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.errors import ArtifactError, AudioError, FingerprintError, ModelError, UsageError
from whisper_steer.faster import BatchedInferencePipeline, Segment, WhisperModel
from whisper_steer.formats.ct2_save import save_ct2
from whisper_steer.models.hooks import run
from whisper_steer.models.load import load_model
from whisper_steer.runtimes.ct2 import to_tensor
from whisper_steer.runtimes.faster_results import with_text
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.steering import Steering

DECODING: dict[str, Any] = {
    "beam_size": 1,
    "temperature": 0.0,
    "max_new_tokens": 12,
    "without_timestamps": True,
    "condition_on_previous_text": False,
}
CPU: dict[str, Any] = {"device": "cpu", "compute_type": "float32", "cpu_threads": 1}
POINTS = ["ln_post", "blocks.1"]
SPANS = [(10.0, 20.0), (40.0, 60.0)]


def noise_of(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(16000 * seconds))).astype(np.float32)


def tone_of(seconds: float) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * 440 * np.arange(round(16000 * seconds)) / 16000)).astype(np.float32)


def load(folder: Path, steering: Steering | None) -> WhisperModel:
    return WhisperModel(folder, steering=steering, **CPU)


def by_threshold(model: Whisper, threshold: float, point: str = "blocks.1", **options: Any) -> Steering:
    return Steering(make_artifact(model.encoder, threshold=threshold, hook_point=point), **options)


def told(model: Whisper, *spans: tuple[float, float], **options: Any) -> Told:
    return Told(make_artifact(model.encoder, threshold=ALWAYS_OPEN), list(spans), **options)


@pytest.fixture(scope="module")
def telling(tiny_model: Whisper) -> Artifact:
    """Its gate takes noise for speech and a tone for none."""
    return telling_artifact(tiny_model.encoder, noise_of(30, 5), tone_of(30))


@pytest.fixture(scope="module")
def stock(tiny_ct2: Path) -> faster_whisper.WhisperModel:
    return faster_whisper.WhisperModel(str(tiny_ct2), **CPU)


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return noise_of(65)


def fields(segments: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in asdict(s).items() if k not in ("steering", "risk")} for s in segments]


@pytest.mark.parametrize(
    "options", [{}, {"word_timestamps": True}, {"without_timestamps": False}, {"clip_timestamps": "5,20,30"}]
)
def test_where_all_is_speech_every_field_is_stocks(
    tiny_ct2: Path, tiny_model: Whisper, stock: Any, audio: np.ndarray, options: dict[str, Any]
) -> None:
    expected, stock_info = stock.transcribe(audio, **{**DECODING, **options})
    model = load(tiny_ct2, by_threshold(tiny_model, ALWAYS_SHUT))
    segments, info = model.transcribe(audio, **{**DECODING, **options})
    found = list(segments)
    assert fields(found) == fields(expected) != []
    assert all(isinstance(s, Segment) and s.steering is not None for s in found)
    assert {k: v for k, v in vars(info).items() if k != "steering"} == vars(stock_info)
    assert [(s["start"], s["end"]) for s in info.steering["spans"]] == [(0.0, 65.0)]


@pytest.mark.parametrize("words", [False, True])
def test_where_nobody_speaks_nothing_is_written(
    tiny_ct2: Path, tiny_model: Whisper, audio: np.ndarray, words: bool
) -> None:
    model = load(tiny_ct2, by_threshold(tiny_model, ALWAYS_OPEN))
    options = {**DECODING, "word_timestamps": words}
    for transcribe in (model.transcribe, BatchedInferencePipeline(model).transcribe):
        segments, info = transcribe(audio, **options)
        assert list(segments) == []
        assert (info.steering["spans"], info.steering["seconds"]) == ([], 65.0)
        assert (info.duration, info.duration_after_vad, info.language) == (65.0, 0.0, "en")


def until(segment: Any, end: float) -> Any:
    """A segment of stock without times behind the end of its clip."""
    words = [replace(w, start=min(w.start, end), end=min(w.end, end)) for w in segment.words or []]
    times = {"start": min(segment.start, end), "end": min(segment.end, end)}
    return replace(segment, **times, words=words or segment.words)


@pytest.mark.parametrize("options", [{}, {"word_timestamps": True}, {"without_timestamps": False}])
def test_spans_come_out_as_stock_writes_them_from_clips(
    tiny_ct2: Path, tiny_model: Whisper, stock: Any, audio: np.ndarray, options: dict[str, Any]
) -> None:
    model = load(tiny_ct2, told(tiny_model, *SPANS))
    found, _ = stock.transcribe(audio, clip_timestamps=[10, 20, 40, 60], **{**DECODING, **options})
    expected = [until(segment, 20.0 if segment.seek < 2000 else 60.0) for segment in found]
    segments, info = model.transcribe(audio, **{**DECODING, **options})
    assert fields(segments) == fields(expected) != []
    assert (info.duration, info.duration_after_vad) == (65.0, 30.0)
    assert [(s["start"], s["end"]) for s in info.steering["spans"]] == SPANS


def test_a_users_clips_are_cut_to_the_speech_in_them(
    tiny_ct2: Path, tiny_model: Whisper, stock: Any, audio: np.ndarray
) -> None:
    model = load(tiny_ct2, told(tiny_model, *SPANS))
    expected, _ = stock.transcribe(audio, clip_timestamps=[15, 20, 40, 50], **DECODING)
    assert fields(model.transcribe(audio, clip_timestamps="15,50", **DECODING)[0]) == fields(expected)
    assert list(model.transcribe(audio, clip_timestamps=[21.0, 39.0], **DECODING)[0]) == []
    clips = [{"start": 15, "end": 18}, {"start": 50, "end": 65}]
    batched = BatchedInferencePipeline(model).transcribe(audio, clip_timestamps=clips, **DECODING)
    (joined,) = list(batched[0])
    assert (joined.start, joined.end) == (15.0, 60.0)  # both pieces in one window, without timestamps
    assert batched[1].duration_after_vad == 13.0


def test_a_batch_is_made_of_the_spans(
    tiny_ct2: Path, tiny_model: Whisper, stock: Any, audio: np.ndarray
) -> None:
    """Joined to windows of at most 30 s, as stock joins what its VAD finds; times are those of the recording."""
    model = load(tiny_ct2, told(tiny_model, *SPANS))
    joined = np.concatenate([audio[a * 16000 : b * 16000] for a, b in ((10, 20), (40, 60))])
    pipeline = faster_whisper.BatchedInferencePipeline(stock)
    clips = [{"start": 0.0, "end": 30.0}]
    expected, _ = pipeline.transcribe(joined, clip_timestamps=clips, batch_size=2, **DECODING)
    segments, info = BatchedInferencePipeline(model).transcribe(audio, batch_size=2, **DECODING)
    found = list(segments)
    assert [s.tokens for s in found] == [s.tokens for s in expected] != []
    assert (found[0].start, found[-1].end) == (10.0, 60.0)
    assert (info.duration, info.duration_after_vad) == (65.0, 30.0)
    long = load(tiny_ct2, told(tiny_model, (0.0, 65.0)))
    segments, _ = BatchedInferencePipeline(long).transcribe(audio, batch_size=4, **DECODING)
    found = list(segments)
    assert len(found) >= 3
    assert max(s.end - s.start for s in found) <= 30.01
    assert all(a.end <= b.start + 0.01 for a, b in pairwise(found))


def test_with_silero_both_must_hear_speech(tiny_ct2: Path, tiny_model: Whisper, spoken: np.ndarray) -> None:
    """It hears the sentences and not the noise; the gate is told of one sentence and of the noise."""
    audio = np.concatenate([spoken[: 12 * 16000], noise_of(20) * np.float32(0.02)])
    model = load(tiny_ct2, told(tiny_model, (0.0, 6.0), (20.0, 30.0)))
    for transcribe in (model.transcribe, BatchedInferencePipeline(model).transcribe):
        segments, info = transcribe(audio, vad_filter=True, **DECODING)
        found = list(segments)
        assert found
        assert all(s.end <= 6.1 for s in found)
        assert 1.0 < info.duration_after_vad <= 6.0
        without = list(transcribe(audio, vad_filter=False, **DECODING)[0])
        assert max(s.end for s in without) == 30.0


def test_a_pause_in_a_real_listening_is_not_decoded(tiny_ct2: Path, telling: Artifact, stock: Any) -> None:
    audio = np.concatenate([noise_of(30), tone_of(60), noise_of(20, 1)])
    model = load(tiny_ct2, Steering(telling))
    for transcribe in (model.transcribe, BatchedInferencePipeline(model).transcribe):
        segments, info = transcribe(audio, **DECODING)
        first, second = info.steering["spans"]
        assert (first["end"], second["start"]) == pytest.approx((30.0, 90.0), abs=3.0)
        found = list(segments)
        assert found
        assert not any(35 < s.start < 85 for s in found)
    assert any(35 < s.start < 85 for s in stock.transcribe(audio, **DECODING)[0])


@pytest.mark.parametrize("point", POINTS)
@torch.no_grad()
def test_mode_steer_decodes_from_the_same_features_as_under_openai_whisper(
    tiny_ct2: Path, tiny_model: Whisper, point: str
) -> None:
    mel = torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(0))
    unsteered = tiny_model.encoder(mel)
    for threshold, changed in ((ALWAYS_OPEN, True), (ALWAYS_SHUT, False)):
        steering = by_threshold(tiny_model, threshold, point, mode="steer", method="mean-difference")
        with steering.editing(tiny_model.encoder):
            expected = run(tiny_model.encoder, mel)
        found = to_tensor(load(tiny_ct2, steering).encode(mel.numpy()))
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)
        assert bool((found - unsteered).abs().max() > 0.1) == changed


@pytest.mark.parametrize("batched", [False, True])
def test_mode_steer_leaves_speech_as_it_is(
    tiny_ct2: Path, telling: Artifact, stock: Any, batched: bool
) -> None:
    """No window holds both: what is edited holds no speech, and what holds speech is stock's."""
    audio = np.concatenate([noise_of(30), tone_of(60), noise_of(20, 1)])
    model = load(tiny_ct2, Steering(telling, mode="steer", method="mean-difference", strength=5.0))
    steered = BatchedInferencePipeline(model) if batched else model
    segments, info = steered.transcribe(audio, **DECODING)
    found = list(segments)
    first, last = ((s["start"], s["end"]) for s in info.steering["spans"])
    skipping = load(tiny_ct2, Steering(telling))
    skipped = BatchedInferencePipeline(skipping) if batched else skipping
    options = {**DECODING, "suppress_blank": False} if batched else DECODING
    clips: Any = [{"start": a, "end": b} for a, b in (first, last)] if batched else [*first, *last]
    plain = faster_whisper.BatchedInferencePipeline(stock) if batched else stock
    if batched and first[1] > 30:  # stock takes no more of a clip
        clips[0]["end"], extra = 30.0, {"start": 30.0, "end": first[1]}
        clips.insert(1, extra)
    expected = [s.tokens for s in plain.transcribe(audio, clip_timestamps=clips, **options)[0]]
    inside = [s.tokens for s in found if s.start < first[1] - 0.01 or s.start >= last[0] - 0.01]
    assert inside == expected != []
    assert len(found) > len(list(skipped.transcribe(audio, **DECODING)[0]))


def test_segments_that_say_nothing_are_left_out_and_the_rest_counted_anew(stock: Any) -> None:
    """Else a window that the edit silences is a blank subtitle."""
    segments = list(stock.transcribe(tone_of(35), **DECODING)[0])
    blank = [replace(segments[0], text=" "), segments[0], replace(segments[0], text=""), segments[-1]]
    assert list(with_text(blank)) == [replace(segments[0], id=1), replace(segments[-1], id=2)]


@pytest.mark.parametrize("batched", [False, True])
def test_four_threads_on_one_model_write_what_one_writes(
    tiny_ct2: Path, telling: Artifact, batched: bool
) -> None:
    model = load(tiny_ct2, Steering(telling))
    steered = BatchedInferencePipeline(model) if batched else model
    sounds = [
        np.concatenate([noise_of(4 + i % 3, i), tone_of(9)] if i % 2 else [tone_of(12 + i)]) for i in range(8)
    ]

    def transcribed(sound: np.ndarray) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        segments, info = steered.transcribe(sound, **DECODING)
        return [asdict(s) for s in segments], info.steering

    serial = [transcribed(sound) for sound in sounds]
    assert any(segments for segments, _ in serial) and not all(segments for segments, _ in serial)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(transcribed, sounds)) == serial


def test_the_language_is_that_of_the_speech_and_may_be_named_by_place(
    multilingual_path: Path, tmp_path: Path
) -> None:
    """``transcribe(audio, "de")`` is how stock may be called, with speech and without any."""
    model = load_model(multilingual_path, "cpu")
    save_ct2(model, tmp_path / "ct2", quantization="float32")
    audio = np.concatenate([tone_of(35), noise_of(30)])
    steered = load(tmp_path / "ct2", told(model, (36.0, 65.0)))
    expected = steered.detect_language(audio[36 * 16000 : 65 * 16000])
    silent = load(tmp_path / "ct2", told(model))
    for kind in (lambda m: m, BatchedInferencePipeline):
        segments, info = kind(steered).transcribe(audio, **DECODING)
        list(segments)
        assert (info.language, info.language_probability) == (expected[0], pytest.approx(expected[1]))
        for each in (steered, silent):
            assert kind(each).transcribe(audio, "de", **DECODING)[1].language == "de"


def test_without_steering_all_is_stock(tiny_ct2: Path, stock: Any, audio: np.ndarray) -> None:
    segments, info = load(tiny_ct2, None).transcribe(audio, **DECODING)
    expected, stock_info = stock.transcribe(audio, **DECODING)
    assert fields(segments) == fields(expected)
    assert {k: v for k, v in vars(info).items() if k != "steering"} == vars(stock_info)
    assert info.steering is None


def test_files_and_open_files_are_read(tiny_ct2: Path, tiny_model: Whisper, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise_of(3), 16000, subtype="FLOAT")
    model = load(tiny_ct2, told(tiny_model, (0.0, 3.0)))
    expected = fields(model.transcribe(noise_of(3), **DECODING)[0])
    for source in (str(tmp_path / "a.wav"), io.BytesIO((tmp_path / "a.wav").read_bytes())):
        assert fields(model.transcribe(source, **DECODING)[0]) == expected != []


def test_the_folder_is_recognised_and_its_encoder_read_back(tiny_ct2: Path, tiny_model: Whisper) -> None:
    from whisper_steer.formats import ct2

    assert ct2.fingerprint(tiny_ct2) == encoder_fingerprint(tiny_model.encoder)
    encoder, mel = ct2.load_encoder(tiny_ct2), torch.randn(1, 80, 3000)
    assert torch.equal(encoder(mel), tiny_model.encoder(mel))


def test_no_more_of_the_encoder_is_read_than_the_gate_needs(tiny_ct2: Path, tiny_model: Whisper) -> None:
    """Half of a large encoder is gigabytes."""
    model = load(tiny_ct2, by_threshold(tiny_model, ALWAYS_SHUT, "blocks.0"))
    assert len(model.prefix.encoder.blocks) == 1
    assert list(model.transcribe(noise_of(2), **DECODING)[0])


def test_a_folder_stored_in_bfloat16_is_recognised(
    tiny_model: Whisper, tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from whisper_steer.formats import ct2

    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path))
    save_ct2(tiny_model, tmp_path / "bf16", quantization="bfloat16")
    rounded = load_model(tiny_path, "cpu").bfloat16()
    assert ct2.fingerprint(tmp_path / "bf16") == encoder_fingerprint(rounded.encoder)
    make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN).save(tmp_path / "steering" / "mine")
    model = WhisperModel(tmp_path / "bf16", **CPU)
    assert list(model.transcribe(noise_of(1), **DECODING)[0]) == []


def test_arrays_are_checked_before_they_are_transcribed(tiny_ct2: Path, tiny_model: Whisper) -> None:
    model = load(tiny_ct2, by_threshold(tiny_model, ALWAYS_OPEN))
    for transcribe in (model.transcribe, BatchedInferencePipeline(model).transcribe):
        for bad in (
            np.full(16000, np.nan, np.float32),
            np.full(16000, 3e38, np.float32),
            np.ones(9, np.int64),
        ):
            with pytest.raises(AudioError, match="the array"):
                transcribe(bad, **DECODING)
        assert list(transcribe(audio=np.empty(0, np.float32), **DECODING)[0]) == []


def test_int8_computation_is_steered(tiny_ct2: Path, tiny_model: Whisper, audio: np.ndarray) -> None:
    steering = by_threshold(tiny_model, ALWAYS_OPEN)
    model = WhisperModel(tiny_ct2, **{**CPU, "compute_type": "int8"}, steering=steering)
    assert model.model.compute_type.startswith("int8")
    assert list(model.transcribe(audio, **DECODING)[0]) == []


def test_what_cannot_be_done_is_said(tiny_ct2: Path, tiny_model: Whisper, tmp_path: Path) -> None:
    other = make_artifact(tiny_model.encoder, threshold=0.0)
    other.fingerprint = other.fingerprint_bfloat16 = "sha256:" + "0" * 64
    with pytest.raises(FingerprintError, match="fitted on another encoder"):
        WhisperModel(tiny_ct2, device="cpu", steering=Steering(other))
    with pytest.raises(ArtifactError, match="whisper-steer fit MODEL"):
        WhisperModel(tiny_ct2, device="cpu")
    with pytest.raises(ModelError, match=r"config\.json"):
        WhisperModel(tmp_path, device="cpu")
    model = load(tiny_ct2, by_threshold(tiny_model, 0.0))
    with pytest.raises(UsageError, match="start,end"):
        model.transcribe(noise_of(1), clip_timestamps="a,b", **DECODING)


def test_a_folder_stored_in_int8_needs_the_checkpoint(
    tiny_model: Whisper, tiny_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "int8"
    save_ct2(tiny_model, folder, quantization="int8")
    steering = by_threshold(tiny_model, ALWAYS_OPEN, "blocks.0")
    with pytest.raises(ModelError, match="stored in int8"):
        WhisperModel(folder, device="cpu", steering=steering)
    model = WhisperModel(folder, device="cpu", steering=steering, checkpoint=tiny_path)
    assert list(model.transcribe(np.zeros(16000, np.float32), **DECODING)[0]) == []
