"""A checkpoint with steering inside must do what hooks do, in runtimes that know nothing of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import whisper
from helpers import ALWAYS_OPEN, make_artifact
from whisper.model import Whisper

from whisper_steer import Steering
from whisper_steer.errors import FingerprintError, UsageError
from whisper_steer.export import bake as baking
from whisper_steer.export.write import check, encoded, export, load_exported

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def mel() -> torch.Tensor:
    return torch.randn(1, 80, 3000, generator=torch.Generator().manual_seed(0))


def mean_difference(model: Whisper, point: str) -> Steering:
    artifact = make_artifact(model.encoder, threshold=ALWAYS_OPEN, hook_point=point)
    return Steering(artifact, mode="steer", method="mean-difference")


@pytest.mark.parametrize("point", ["blocks.0", "blocks.1", "ln_post"])
def test_a_constant_in_the_weights_is_a_constant_by_hooks(tiny_model: Whisper, mel: Any, point: str) -> None:
    steering = mean_difference(tiny_model, point)
    expected = encoded(tiny_model, mel, steering)
    baked = baking.bake_vector(tiny_model, point, baking.constant(steering))
    assert torch.allclose(baked.encoder(mel), expected, atol=2e-5)
    assert (expected - tiny_model.encoder(mel)).abs().max() > 0.1


@pytest.mark.parametrize("format", ["openai", "hf", "ct2"])
def test_the_folder_loads_in_its_stock_runtime(
    tiny_model: Whisper, mel: Any, tmp_path: Path, wav_files: dict[str, Path], format: Any
) -> None:
    steering = mean_difference(tiny_model, "blocks.0")
    expected = encoded(tiny_model, mel, steering)
    export(tiny_model, tmp_path / "out", format=format, steering=steering)
    found = load_exported(tmp_path / "out")(mel)
    assert torch.allclose(found, expected, rtol=2e-2, atol=2e-2)  # ct2 keeps fp16
    card = json.loads((tmp_path / "out" / "card.json").read_text(encoding="utf-8"))
    assert card["name"] == "by-hand"
    assert (card["baked"]["method"], card["format"]) == ("mean-difference", format)
    result = check(tiny_model, steering, tmp_path / "out", list(wav_files.values()))
    assert result.recordings == 3
    assert result.identical_tokens == 3
    assert 0 < result.max_difference < 0.05 < result.scale


def test_openai_whisper_transcribes_with_it(
    tiny_model: Whisper, tmp_path: Path, wav_files: dict[str, Path]
) -> None:
    export(tiny_model, tmp_path / "out", format="openai", steering=mean_difference(tiny_model, "blocks.1"))
    loaded = whisper.load_model(str(tmp_path / "out" / "model.pt"), device="cpu")
    samples, _ = soundfile.read(wav_files["tone"], dtype="float32")
    options: dict[str, Any] = {"temperature": 0.0, "fp16": False, "sample_len": 8}
    assert loaded.transcribe(samples, **options)["text"] != tiny_model.transcribe(samples, **options)["text"]


def test_plain_transformers_transcribes_with_the_genuine_model(
    tiny_en: Whisper, spoken: np.ndarray, tmp_path: Path
) -> None:
    """By ``from_pretrained`` as its documentation has it, on a CPU; greedily, to the text of openai-whisper."""
    import transformers

    export(tiny_en, tmp_path / "out", format="hf")
    model = transformers.WhisperForConditionalGeneration.from_pretrained(tmp_path / "out")
    processor = transformers.WhisperProcessor.from_pretrained(tmp_path / "out")
    samples = spoken[: 5 * 16000]
    features = processor(samples, sampling_rate=16000, return_tensors="pt").input_features
    (found,) = processor.batch_decode(model.generate(features), skip_special_tokens=True)
    options = whisper.DecodingOptions(language="en", without_timestamps=True, fp16=False)
    window = whisper.pad_or_trim(whisper.log_mel_spectrogram(whisper.pad_or_trim(samples)), 3000)
    assert found.strip() == whisper.decode(tiny_en, window, options).text != ""


def test_conversion_without_steering_keeps_the_model(tiny_model: Whisper, mel: Any, tmp_path: Path) -> None:
    card = export(tiny_model, tmp_path / "out", format="hf")
    assert torch.allclose(load_exported(tmp_path / "out")(mel), tiny_model.encoder(mel), rtol=1e-3, atol=1e-3)
    assert "baked" not in card


def test_what_cannot_be_exported_is_said(tiny_model: Whisper, tmp_path: Path) -> None:
    clamp = Steering(make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN), mode="steer")
    with pytest.raises(UsageError, match="mean-difference"):
        export(tiny_model, tmp_path / "out", format="hf", steering=clamp)
    with pytest.raises(UsageError, match="--format ct2"):
        export(tiny_model, tmp_path / "out", format="hf", quantization="int8")
    clamp.artifact.fingerprint = "sha256:" + "0" * 64
    with pytest.raises(FingerprintError, match="another encoder"):
        export(tiny_model, tmp_path / "out", format="hf", steering=clamp)
    assert not (tmp_path / "out").exists()


def test_the_tokenizer_is_openai_whispers() -> None:
    """On text of many scripts; a user's prompt must become the same tokens in each runtime."""
    from whisper.tokenizer import get_encoding

    from whisper_steer.formats.tokenizer import make_tokenizer

    made, stock = make_tokenizer(51864), get_encoding("gpt2", 99)
    for text in (
        " It's 10 o'clock!?\n\n  tabs\tand naïve",
        "日本語 한국어 العربية 🎉",
        " don't we'll " + "x" * 50,
    ):
        assert made.encode(text, add_special_tokens=False).ids == stock.encode(text)
        assert made.decode(stock.encode(text)) == text
    assert {t: made.token_to_id(t) for t in stock._special_tokens} == stock._special_tokens
