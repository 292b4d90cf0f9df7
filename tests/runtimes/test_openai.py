"""If these fail, `transcribe` is no drop-in: results differ from stock's, or non-speech still comes out as text."""

from pathlib import Path

import numpy as np
import pytest
import torch
import whisper
from helpers import ALWAYS_OPEN, ALWAYS_SHUT, make_artifact, wrapped
from whisper.model import Whisper

import whisper_steer
from whisper_steer.errors import ArtifactError, AudioError, UsageError
from whisper_steer.runtimes.openai import SteeredModel
from whisper_steer.steer.steering import Steering

OPTIONS = {"language": "en", "fp16": False, "temperature": (0.0, 0.4), "sample_len": 12}


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return (0.1 * np.random.default_rng(0).standard_normal(16000 * 65)).astype(np.float32)


def steering(model: Whisper, threshold: float, mode: str = "skip") -> Steering:
    return Steering(make_artifact(model.encoder, threshold=threshold), mode=mode)


def without_steering(result: dict) -> dict:
    segments = [{k: v for k, v in s.items() if k != "steering"} for s in result["segments"]]
    return {**{k: v for k, v in result.items() if k != "steering"}, "segments": segments}


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"without_timestamps": True},
        {"word_timestamps": True},
        {"beam_size": 2, "temperature": 0.0},
        {"condition_on_previous_text": False, "initial_prompt": "one two"},
        {"clip_timestamps": [5.0, 20.0, 30.0]},
        {"no_speech_threshold": None, "logprob_threshold": None, "compression_ratio_threshold": None},
    ],
)
def test_with_the_gate_shut_or_steering_off_every_field_is_stocks(
    tiny_model: Whisper, audio: np.ndarray, extra: dict
) -> None:
    options = {**OPTIONS, **extra}
    torch.manual_seed(0)
    stock = whisper.transcribe(tiny_model, audio, **options)
    for chosen in (None, steering(tiny_model, ALWAYS_SHUT)):
        torch.manual_seed(0)
        ours = whisper_steer.transcribe(tiny_model, audio, steering=chosen, **options)
        assert without_steering(ours) == stock
    assert [s["steering"]["action"] for s in ours["segments"]] == ["untouched"] * len(stock["segments"])


@pytest.mark.parametrize("chosen", [None, ALWAYS_SHUT, ALWAYS_OPEN])
def test_no_samples_are_no_text_as_in_stock(tiny_model: Whisper, chosen: float | None) -> None:
    nothing = np.empty(0, np.float32)
    stock = whisper.transcribe(tiny_model, nothing, **OPTIONS)
    with_gate = None if chosen is None else steering(tiny_model, chosen)
    for audio in (nothing, torch.empty(0)):
        ours = whisper_steer.transcribe(tiny_model, audio, steering=with_gate, **OPTIONS)
        assert without_steering(ours) == stock


def test_a_tensor_is_checked_and_read_as_an_array_is(tiny_model: Whisper, audio: np.ndarray) -> None:
    """Also a pair of channels, for which stock asks for hundreds of gigabytes."""
    shut = steering(tiny_model, ALWAYS_SHUT)
    options = {**OPTIONS, "temperature": 0.0, "steering": shut}
    expected = whisper_steer.transcribe(tiny_model, audio[:32000], **options)
    tensor = torch.from_numpy(audio[:32000].copy())
    for same in (tensor, tensor.double(), tensor.clone().requires_grad_(), torch.stack([tensor, tensor], 1)):
        assert whisper_steer.transcribe(tiny_model, same, **options) == expected
    with pytest.raises(AudioError, match="NaN or infinite"):
        whisper_steer.transcribe(tiny_model, tensor * torch.nan, **options)


def test_non_speech_comes_out_empty_and_every_window_is_accounted_for(
    tiny_model: Whisper, audio: np.ndarray
) -> None:
    assert whisper.transcribe(tiny_model, audio, **OPTIONS)["text"].strip()
    result = whisper_steer.transcribe(
        tiny_model, audio, steering=steering(tiny_model, ALWAYS_OPEN), **OPTIONS
    )
    assert result["text"] == ""
    assert result["segments"] == []
    windows = result["steering"]["windows"]
    assert [(w["start"], w["end"], w["action"]) for w in windows] == [
        (0.0, 30.0, "skipped"),
        (30.0, 60.0, "skipped"),
        (60.0, 65.0, "skipped"),
    ]
    assert result["steering"]["artifact"] == "by-hand"


@pytest.mark.parametrize("extra", [{}, {"word_timestamps": True}, {"no_speech_threshold": None}])
def test_a_skipped_window_runs_the_encoder_once_and_the_decoder_never(
    tiny_model: Whisper, audio: np.ndarray, extra: dict
) -> None:
    calls = {"encoder": 0, "decoder": 0}

    def count(name: str):
        return lambda *_: calls.__setitem__(name, calls[name] + 1)

    handles = [tiny_model.encoder.register_forward_hook(count("encoder"))]
    handles.append(tiny_model.decoder.register_forward_hook(count("decoder")))
    try:
        whisper_steer.transcribe(
            tiny_model, audio, steering=steering(tiny_model, ALWAYS_OPEN), **{**OPTIONS, **extra}
        )
    finally:
        for handle in handles:
            handle.remove()
    assert calls == {"encoder": 3, "decoder": 0}


def test_temperature_fallback_encodes_a_window_once(tiny_model: Whisper, audio: np.ndarray) -> None:
    calls = []
    handle = tiny_model.encoder.register_forward_hook(lambda *_: calls.append(1))
    options = {**OPTIONS, "temperature": (0.0, 0.2, 0.4), "logprob_threshold": 0.0}
    try:
        whisper.transcribe(tiny_model, audio[: 16000 * 20], **options)
        stock = len(calls)
        calls.clear()
        whisper_steer.transcribe(
            tiny_model, audio[: 16000 * 20], steering=steering(tiny_model, ALWAYS_SHUT), **options
        )
    finally:
        handle.remove()
    assert (stock, len(calls)) == (3, 1)


def test_steered_windows_may_come_out_empty_although_stock_forbids_it(
    tiny_model: Whisper, audio: np.ndarray
) -> None:
    """The decoder's first choice is made end-of-text; stock suppresses that token, the open gate does not."""
    eot = 50256
    model = SteeredModel(tiny_model, steering(tiny_model, ALWAYS_OPEN, mode="steer"))
    shut = SteeredModel(tiny_model, steering(tiny_model, ALWAYS_SHUT, mode="steer"))
    mel = whisper.log_mel_spectrogram(audio[: 16000 * 30])
    options = whisper.DecodingOptions(
        language="en", fp16=False, without_timestamps=True, sample_len=8, beam_size=2
    )
    handle = tiny_model.decoder.register_forward_hook(
        lambda _m, _i, logits: logits.index_add(
            -1, torch.tensor([eot]), torch.full((*logits.shape[:-1], 1), 100.0)
        )
    )
    try:
        assert model.decode(mel, options).tokens == []
        assert shut.decode(mel, options).tokens != []
    finally:
        handle.remove()


@pytest.mark.parametrize("wrap", ["compile", "compile in place", "data parallel"])
def test_a_model_with_a_compiled_encoder_finds_its_steering(
    tiny_path: Path,
    tiny_model: Whisper,
    audio: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrap: str,
) -> None:
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path))
    for point in ("blocks.1", "ln_post"):
        artifact = make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN, hook_point=point)
        artifact.save(tmp_path / "steering" / "mine")
        expected = whisper_steer.transcribe(tiny_model, audio, **OPTIONS)
        model = whisper.load_model(str(tiny_path), device="cpu")
        model.encoder = wrapped(model.encoder, wrap)
        whisper.transcribe(model, audio, **OPTIONS)  # compiled now, before the hook comes
        found = whisper_steer.transcribe(model, audio, **OPTIONS)
        assert found == expected
        assert [w["action"] for w in found["steering"]["windows"]] == ["skipped"] * 3


def test_the_model_is_not_changed(tiny_model: Whisper, audio: np.ndarray) -> None:
    before = tiny_model.decode
    whisper_steer.transcribe(
        tiny_model, audio[:16000], steering=steering(tiny_model, ALWAYS_OPEN, mode="steer"), **OPTIONS
    )
    assert tiny_model.decode == before
    assert not any(m._forward_hooks for m in tiny_model.encoder.modules())


def test_the_drop_in_has_every_public_name_of_whisper() -> None:
    names = [
        "load_model",
        "transcribe",
        "available_models",
        "load_audio",
        "pad_or_trim",
        "decode",
        "log_mel_spectrogram",
        "detect_language",
        "DecodingOptions",
        "DecodingResult",
        "Whisper",
        "ModelDimensions",
    ]
    for name in names:
        assert callable(getattr(whisper_steer, name)), name
    assert whisper_steer.DecodingOptions is whisper.DecodingOptions
    with pytest.raises(AttributeError):
        _ = whisper_steer.nothing_of_the_kind


def test_wrong_use_is_told(
    tiny_model: Whisper, audio: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path))
    with pytest.raises(ArtifactError, match="whisper-steer fit"):
        whisper_steer.transcribe(tiny_model, audio, **OPTIONS)
    with pytest.raises(UsageError, match="not to both"):
        whisper_steer.transcribe(
            tiny_model, audio, steering=steering(tiny_model, 0.0), mode="skip", **OPTIONS
        )
