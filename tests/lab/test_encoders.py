"""If these fail, the laboratory reads other activations than the model's, or not the same of all formats."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_hubert
from whisper.model import Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.errors import ModelError, UsageError
from whisper_steer.formats.hf import save_hf
from whisper_steer.lab.encoders import HubertEncoder, WhisperEncoder, frames_in, open_encoder
from whisper_steer.models.hooks import read_activations

transformers = pytest.importorskip("transformers")

POINTS = ["blocks.0", "blocks.1", "ln_post"]


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    """A second and a half, and a tenth of a second."""
    rng = np.random.default_rng(0)
    return [0.1 * rng.standard_normal(n).astype(np.float32) for n in (24_000, 1_600)]


@pytest.fixture(scope="module")
def hf_folder(tiny_model: Whisper, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny-random-hf"
    save_hf(tiny_model, folder)
    return folder


@pytest.fixture(scope="module", params=[True, False], ids=["layer norm first", "layer norm last"])
def hubert_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the large model's kind and of the base model's."""
    return small_hubert(tmp_path_factory.mktemp("models") / "hubert", request.param)


def test_hubert_gives_the_hidden_states_of_transformers(
    hubert_folder: Path, sounds: list[np.ndarray]
) -> None:
    encoder = open_encoder(hubert_folder, "cpu")
    assert isinstance(encoder, HubertEncoder)
    assert encoder.points == ["blocks.0", "blocks.1", "blocks.2"] and encoder.n_state == 24
    found = encoder.read(sounds, encoder.points)
    model = transformers.HubertModel.from_pretrained(hubert_folder).eval()
    extractor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(hubert_folder)
    for samples, by_point in zip(sounds, found, strict=True):
        values = extractor(samples, sampling_rate=16000, return_tensors="pt").input_values
        with torch.no_grad():
            found_by_theirs = model(values, output_hidden_states=True)
        states = [state[0] for state in found_by_theirs.hidden_states]
        assert len(states) == 4
        for i, point in enumerate(encoder.points[:-1]):
            torch.testing.assert_close(by_point[point], states[i + 1], atol=1e-4, rtol=1e-4)
        last = by_point["blocks.2"]
        if model.config.do_stable_layer_norm:
            last = model.encoder.layer_norm(last)
        torch.testing.assert_close(last, found_by_theirs.last_hidden_state[0], atol=1e-4, rtol=1e-4)


def test_all_formats_of_one_whisper_give_the_same_activations(
    tiny_path: Path, hf_folder: Path, tiny_ct2: Path, tiny_model: Whisper, sounds: list[np.ndarray]
) -> None:
    encoders = [open_encoder(path, "cpu") for path in (tiny_path, hf_folder, tiny_ct2)]
    read = [encoder.read(sounds, POINTS) for encoder in encoders]
    for i, samples in enumerate(sounds):
        own = read_activations(tiny_model.encoder, window_mel(samples)[None], POINTS)
        for point in POINTS:
            for encoder, found in zip(encoders, read, strict=True):
                assert isinstance(encoder, WhisperEncoder)
                assert encoder.points == POINTS and encoder.n_state == 32
                expected = own[point][0, : len(samples) // 320]
                torch.testing.assert_close(found[i][point], expected, atol=2e-3, rtol=2e-3)


def test_a_window_has_a_frame_for_each_20_ms_of_at_most_half_a_minute(
    tiny_path: Path, sounds: list[np.ndarray]
) -> None:
    encoder = open_encoder(tiny_path, "cpu")
    assert [len(found["ln_post"]) for found in encoder.read(sounds, ["ln_post"])] == [75, 5]
    assert [frames_in(np.zeros(n, np.float32)) for n in (0, 100, 480_000, 600_000)] == [1, 1, 1500, 1500]
    with pytest.raises(UsageError, match="unknown hook point"):
        encoder.read(sounds, ["blocks.9"])


def test_what_is_no_encoder_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError, match="'bert': pass a Whisper or a HuBERT"):
        open_encoder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "hubert"}))
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_encoder(tmp_path)
