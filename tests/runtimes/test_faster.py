"""Who changes one import line of a faster-whisper program must lose nothing but the text that nobody spoke."""

from __future__ import annotations

import gc
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
import pytest
import torch
from helpers import ALWAYS_OPEN, ALWAYS_SHUT, make_artifact
from whisper.model import Whisper

from whisper_steer import Steering, transcribe
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.errors import ArtifactError, AudioError, FingerprintError, ModelError, UsageError
from whisper_steer.formats.ct2_save import save_ct2
from whisper_steer.gate.kinds import Gate
from whisper_steer.models.load import load_model
from whisper_steer.runtimes.ct2 import to_view
from whisper_steer.runtimes.faster import BatchedInferencePipeline, Segment, WhisperModel
from whisper_steer.steer.artifact import Artifact

DECODING: dict[str, Any] = {
    "beam_size": 1,
    "temperature": 0.0,
    "max_new_tokens": 12,
    "without_timestamps": True,
}
POINTS = ["ln_post", "blocks.1"]
CLIPS = [{"start": 0, "end": 9}, {"start": 10, "end": 19}, {"start": 20, "end": 30}]


def artifact_for(encoder: Any, *, threshold: float, hook_point: str = "blocks.1") -> Artifact:
    """One whose gate tells windows apart at every hook point: linear in the activations."""
    artifact = make_artifact(encoder, threshold=threshold, hook_point=hook_point)
    weight = torch.randn(32, generator=torch.Generator().manual_seed(2))
    artifact.gate = Gate(weight, torch.tensor(0.0), torch.zeros(32))
    return artifact


def load(folder: Path, artifact: Artifact | None, **options: Any) -> WhisperModel:
    steering = None if artifact is None else Steering(artifact, **options)
    return WhisperModel(folder, device="cpu", compute_type="float32", cpu_threads=1, steering=steering)


@pytest.fixture(scope="module")
def stock(tiny_ct2: Path) -> faster_whisper.WhisperModel:
    return faster_whisper.WhisperModel(str(tiny_ct2), device="cpu", compute_type="float32", cpu_threads=1)


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    """31 s: two windows, of which the second is nearly empty."""
    rng = np.random.default_rng(0)
    loud = (0.2 * rng.standard_normal(31 * 16000)).astype(np.float32)
    loud[20 * 16000 :] *= 0.01
    return loud


def fields(segments: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in asdict(s).items() if k != "steering"} for s in segments]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(
    "options", [{}, {"word_timestamps": True}, {"without_timestamps": False}, {"hotwords": "a"}]
)
def test_windows_with_speech_come_out_as_stock_writes_them(
    tiny_ct2: Path, tiny_model: Whisper, stock: Any, audio: np.ndarray, point: str, options: dict[str, Any]
) -> None:
    artifact = artifact_for(tiny_model.encoder, threshold=ALWAYS_SHUT, hook_point=point)
    expected = fields(stock.transcribe(audio, **{**DECODING, **options})[0])
    segments, info = load(tiny_ct2, artifact).transcribe(audio, **{**DECODING, **options})
    found = list(segments)
    if point == "ln_post":
        assert fields(found) == expected
    else:  # PyTorch's features differ from CTranslate2's in the last digits, and so do probabilities
        assert [s.tokens for s in found] == [e["tokens"] for e in expected]
    assert len(expected) >= 2
    assert all(isinstance(s, Segment) and s.steering.action == "untouched" for s in found)
    assert {w["action"] for w in info.steering["windows"]} == {"untouched"}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("words", [False, True])
def test_windows_without_speech_are_not_decoded(
    tiny_ct2: Path, tiny_model: Whisper, audio: np.ndarray, point: str, words: bool
) -> None:
    model = load(tiny_ct2, artifact_for(tiny_model.encoder, threshold=ALWAYS_OPEN, hook_point=point))
    segments, info = model.transcribe(audio, word_timestamps=words, **DECODING)
    assert list(segments) == []
    assert [(w["start"], w["action"]) for w in info.steering["windows"]] == [
        (0.0, "skipped"),
        (30.0, "skipped"),
    ]


@pytest.mark.parametrize("point", POINTS)
def test_the_gate_decides_as_under_openai_whisper(
    tiny_ct2: Path, tiny_model: Whisper, audio: np.ndarray, point: str
) -> None:
    """Evidence of the same window, 10 s of noise, from three runtimes' own log-mel and encoder."""
    steering = Steering(artifact_for(tiny_model.encoder, threshold=ALWAYS_SHUT, hook_point=point))
    clip = audio[: 10 * 16000]
    openai = transcribe(
        tiny_model,
        clip,
        steering=steering,
        temperature=0.0,
        fp16=False,
        sample_len=5,
        without_timestamps=True,
    )
    model = WhisperModel(tiny_ct2, device="cpu", compute_type="float32", steering=steering)
    segments, info = model.transcribe(clip, **DECODING)
    list(segments)
    (theirs,), (ours,) = openai["steering"]["windows"], info.steering["windows"]
    assert ours["evidence"] == pytest.approx(theirs["evidence"], abs=1e-3)
    assert ours["action"] == theirs["action"]


@pytest.mark.parametrize("point", POINTS)
def test_steered_windows_are_decoded_from_the_same_features_as_under_openai_whisper(
    tiny_ct2: Path, tiny_model: Whisper, point: str
) -> None:
    artifact = artifact_for(tiny_model.encoder, threshold=ALWAYS_OPEN, hook_point=point)
    steering = Steering(artifact, mode="steer", method="mean-difference")
    mel = torch.randn(2, 80, 3000)
    expected, _ = steering.encode(tiny_model.encoder, mel)
    model = WhisperModel(tiny_ct2, device="cpu", compute_type="float32", steering=steering)
    view = model.encode(mel.numpy())
    assert torch.allclose(model.model._windows[view].features, expected, atol=2e-4)
    unsteered = tiny_model.encoder(mel).detach()
    assert (expected - unsteered).abs().max() > 0.1


def test_a_steered_window_may_come_out_empty(tiny_ct2: Path, tiny_model: Whisper) -> None:
    """Stock forbids end-of-text as the first token; a steered window that wants it must not be forced to write."""
    artifact = artifact_for(tiny_model.encoder, threshold=ALWAYS_OPEN, hook_point="ln_post")
    model = load(tiny_ct2, artifact, mode="steer")
    view = model.encode(np.zeros((1, 80, 3000), np.float32))
    steered = to_view(model.model._windows[view].features)
    eot, prompts = 50256, [[50257, 50362]]
    for word in range(300, 400):  # let the model choose between end-of-text and one word
        only = {
            "suppress_tokens": [i for i in range(51864) if i not in (eot, word)],
            "beam_size": 1,
            "max_length": 5,
        }
        (free,) = model.model._model.generate(steered, prompts, **only, suppress_blank=False)
        if free.sequences_ids == [[]]:
            break
    (forced,) = model.model._model.generate(steered, prompts, **only)
    assert forced.sequences_ids[0][0] == word
    (ours,) = model.model.generate(view, prompts, **only)
    assert ours.sequences_ids == [[]]
    assert ours.scores == [0.0]  # nothing that faster-whisper would try again at a higher temperature


@pytest.mark.parametrize("point", POINTS)
def test_in_a_batch_only_windows_with_speech_are_decoded(
    tiny_ct2: Path, tiny_model: Whisper, stock: Any, audio: np.ndarray, point: str
) -> None:
    """A threshold between the evidence of three clips: the one above it keeps stock's tokens."""
    probe = load(tiny_ct2, artifact_for(tiny_model.encoder, threshold=ALWAYS_SHUT, hook_point=point))
    options = {**DECODING, "clip_timestamps": CLIPS, "batch_size": 3}
    segments, info = BatchedInferencePipeline(probe).transcribe(audio, **options)
    expected = fields(faster_whisper.BatchedInferencePipeline(stock).transcribe(audio, **options)[0])
    assert [s["tokens"] for s in fields(segments)] == [e["tokens"] for e in expected]
    evidence = [w["evidence"] for w in info.steering["windows"]]
    threshold = sum(sorted(evidence)[1:]) / 2
    loudest = int(np.argmax(evidence))

    model = load(tiny_ct2, artifact_for(tiny_model.encoder, threshold=threshold, hook_point=point))
    for words in (False, True):
        segments, info = BatchedInferencePipeline(model).transcribe(audio, word_timestamps=words, **options)
        (found,) = list(segments)
        assert (found.tokens, found.id) == (expected[loudest]["tokens"], 1)
        actions = [w["action"] for w in info.steering["windows"]]
        assert [i for i, action in enumerate(actions) if action == "untouched"] == [loudest]
        assert actions.count("skipped") == 2
        assert [w["start"] for w in info.steering["windows"]] == [0, 10, 20]


def test_stock_pipelines_skip_too(tiny_ct2: Path, tiny_model: Whisper, audio: np.ndarray) -> None:
    """whisperX and others bring their own loop around encode and generate."""
    model = load(tiny_ct2, artifact_for(tiny_model.encoder, threshold=ALWAYS_OPEN, hook_point="ln_post"))
    pipeline = faster_whisper.BatchedInferencePipeline(model)
    segments, _ = pipeline.transcribe(audio, clip_timestamps=CLIPS, **DECODING)
    assert [s.text for s in segments] == ["", "", ""]


def test_without_steering_all_is_stock(tiny_ct2: Path, stock: Any, audio: np.ndarray) -> None:
    segments, info = load(tiny_ct2, None).transcribe(audio, **DECODING)
    expected, stock_info = stock.transcribe(audio, **DECODING)
    assert fields(segments) == fields(expected)
    assert {k: v for k, v in vars(info).items() if k != "steering"} == vars(stock_info)
    assert info.steering is None


def test_two_transcriptions_side_by_side_keep_their_windows_apart(
    tiny_ct2: Path, tiny_model: Whisper, audio: np.ndarray
) -> None:
    model = load(tiny_ct2, artifact_for(tiny_model.encoder, threshold=ALWAYS_OPEN, hook_point="ln_post"))
    first, one = model.transcribe(audio, **DECODING)
    second, other = model.transcribe(audio[:16000], **DECODING)
    list(second), list(first)
    assert (len(one.steering["windows"]), len(other.steering["windows"])) == (2, 1)


def test_the_folder_is_recognised_and_its_encoder_read_back(tiny_ct2: Path, tiny_model: Whisper) -> None:
    from whisper_steer.formats import ct2

    assert ct2.fingerprint(tiny_ct2) == encoder_fingerprint(tiny_model.encoder)
    encoder, mel = ct2.load_encoder(tiny_ct2), torch.randn(1, 80, 3000)
    assert torch.equal(encoder(mel), tiny_model.encoder(mel))


def test_a_folder_stored_in_bfloat16_is_recognised(
    tiny_model: Whisper, tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audio: np.ndarray
) -> None:
    from whisper_steer.formats import ct2

    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path))
    save_ct2(tiny_model, tmp_path / "bf16", quantization="bfloat16")
    rounded = load_model(tiny_path, "cpu").bfloat16()
    assert ct2.fingerprint(tmp_path / "bf16") == encoder_fingerprint(rounded.encoder)
    encoder, mel = ct2.load_encoder(tmp_path / "bf16"), torch.randn(1, 80, 3000)
    assert torch.equal(encoder(mel), rounded.float().encoder(mel))
    for point in POINTS:
        artifact = artifact_for(tiny_model.encoder, threshold=ALWAYS_OPEN, hook_point=point)
        artifact.save(tmp_path / "steering" / "mine")
        model = WhisperModel(tmp_path / "bf16", device="cpu", compute_type="float32")
        assert list(model.transcribe(audio[:16000], **DECODING)[0]) == []


def test_arrays_are_checked_before_they_are_transcribed(tiny_ct2: Path, tiny_model: Whisper) -> None:
    model = load(tiny_ct2, artifact_for(tiny_model.encoder, threshold=ALWAYS_OPEN, hook_point="ln_post"))
    for transcribe_with in (model.transcribe, BatchedInferencePipeline(model).transcribe):
        for bad in (
            np.full(16000, np.nan, np.float32),
            np.full(16000, 3e38, np.float32),
            np.ones(9, np.int64),
        ):
            with pytest.raises(AudioError, match="the array"):
                transcribe_with(bad, **DECODING)
    assert list(model.transcribe(audio=np.empty(0, np.float32), **DECODING)[0]) == []


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("mode", ["skip", "steer"])
@pytest.mark.parametrize("threshold", [ALWAYS_OPEN, ALWAYS_SHUT])
def test_windows_that_were_decoded_are_forgotten(
    tiny_ct2: Path, tiny_model: Whisper, audio: np.ndarray, point: str, mode: Any, threshold: float
) -> None:
    """Each kept its encoder's output: an hour of audio took hundreds of megabytes."""
    artifact = artifact_for(tiny_model.encoder, threshold=threshold, hook_point=point)
    model = load(tiny_ct2, artifact, mode=mode)
    kept = []
    encode = model.model.encode

    def watched(*args: Any, **kwargs: Any) -> Any:
        kept.append(weakref.ref(view := encode(*args, **kwargs)))
        return view

    model.model.encode = watched
    clip = {"clip_timestamps": [0.0, 1.0, 1.0, 2.0, 2.0, 3.0], "max_new_tokens": 4}
    list(model.transcribe(audio, **{**DECODING, **clip})[0])
    gc.collect()
    assert len(kept) == 3
    assert [view() for view in kept] == [None] * 3
    assert len(model.model._windows) == 0


def test_int8_computation_is_steered(tiny_ct2: Path, tiny_model: Whisper, audio: np.ndarray) -> None:
    steering = Steering(artifact_for(tiny_model.encoder, threshold=ALWAYS_OPEN, hook_point="ln_post"))
    model = WhisperModel(tiny_ct2, device="cpu", compute_type="int8", steering=steering)
    assert model.model.compute_type.startswith("int8")
    assert list(model.transcribe(audio, **DECODING)[0]) == []


def test_what_cannot_be_done_is_said(tiny_ct2: Path, tiny_model: Whisper, tmp_path: Path) -> None:
    inner = artifact_for(tiny_model.encoder, threshold=0.0, hook_point="blocks.0")
    with pytest.raises(UsageError, match=r"blocks.0, which CTranslate2 does not show.*--hook-point ln_post"):
        WhisperModel(tiny_ct2, device="cpu", steering=Steering(inner), route="output")
    with pytest.raises(UsageError, match="unknown route"):
        WhisperModel(tiny_ct2, device="cpu", steering=Steering(inner), route="both")  # type: ignore[arg-type]
    other = artifact_for(tiny_model.encoder, threshold=0.0)
    other.fingerprint = "sha256:" + "0" * 64
    with pytest.raises(FingerprintError, match="fitted on another encoder"):
        WhisperModel(tiny_ct2, device="cpu", steering=Steering(other))
    with pytest.raises(ArtifactError, match="whisper-steer fit MODEL"):
        WhisperModel(tiny_ct2, device="cpu")
    with pytest.raises(ModelError, match=r"model\.bin"):
        WhisperModel(tmp_path, device="cpu")


def test_a_folder_stored_in_int8_needs_the_checkpoint(
    tiny_ct2: Path, tiny_model: Whisper, tiny_path: Path, tmp_path: Path
) -> None:
    from whisper_steer.formats.ct2_save import save_ct2

    folder = tmp_path / "int8"
    save_ct2(tiny_model, folder, quantization="int8")
    steering = Steering(artifact_for(tiny_model.encoder, threshold=ALWAYS_OPEN, hook_point="blocks.0"))
    with pytest.raises(ModelError, match="stored in int8"):
        WhisperModel(folder, device="cpu", steering=steering)
    model = WhisperModel(folder, device="cpu", steering=steering, checkpoint=tiny_path)
    assert list(model.transcribe(np.zeros(16000, np.float32), **DECODING)[0]) == []
