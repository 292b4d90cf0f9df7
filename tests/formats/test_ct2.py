"""If these fail, weights read out of a CTranslate2 folder are not the model's, and it writes something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
import pytest
import torch
import whisper
from whisper.model import Whisper

from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.errors import ModelError
from whisper_steer.formats import ct2
from whisper_steer.formats.ct2_save import save_ct2
from whisper_steer.models.load import load_model


def test_a_model_comes_back_to_the_bit(tiny_model: Whisper, tiny_ct2: Path) -> None:
    """The random model's weights are fp16, so float16 loses nothing; every tensor is compared."""
    found = ct2.load_model(tiny_ct2)
    assert found.dims == tiny_model.dims
    assert found.alignment_heads.to_dense().tolist() == tiny_model.alignment_heads.to_dense().tolist()
    expected = tiny_model.state_dict()
    assert found.state_dict().keys() == expected.keys()
    for name, weight in found.state_dict().items():
        assert torch.equal(weight, expected[name]), name


def test_the_genuine_folder_survives_the_round_trip(
    tiny_en: Whisper, tiny_en_folder: Path, tmp_path: Path
) -> None:
    """Read from the package, written by CTranslate2's own converter, read again: the same tensors to the bit."""
    save_ct2(tiny_en, tmp_path / "again")
    again, heads = ct2.read_weights(tmp_path / "again")
    first, same_heads = ct2.read_weights(tiny_en_folder)
    assert heads == same_heads == {"encoder": 6, "decoder": 6}
    assert again.keys() == first.keys()
    assert all(w.dtype == torch.float16 and torch.equal(w, first[name]) for name, w in again.items())
    assert ct2.fingerprint(tiny_en_folder) == encoder_fingerprint(tiny_en.encoder)


def test_it_writes_what_faster_whisper_writes(
    tiny_en: Whisper, tiny_en_folder: Path, spoken: np.ndarray
) -> None:
    """CTranslate2 runs the folder itself: an independent reading of the same weights."""
    greedy: dict[str, Any] = {"temperature": 0.0, "condition_on_previous_text": False}
    stock = faster_whisper.WhisperModel(str(tiny_en_folder), device="cpu", compute_type="float32")
    segments, _ = stock.transcribe(spoken, beam_size=1, **greedy)
    expected = [segment.tokens for segment in segments]
    found = whisper.transcribe(tiny_en, spoken, fp16=False, **greedy)
    assert [segment["tokens"] for segment in found["segments"]] == expected
    assert len(found["text"].split()) > 20


def test_a_folder_loads_by_its_path(tiny_ct2: Path, tiny_model: Whisper) -> None:
    assert torch.equal(load_model(tiny_ct2, "cpu").encoder.conv1.weight, tiny_model.encoder.conv1.weight)


@pytest.mark.parametrize("damage", ["cut", "other", "config"])
def test_a_damaged_folder_is_told_in_one_line(tiny_ct2: Path, tmp_path: Path, damage: str) -> None:
    content = (tiny_ct2 / "model.bin").read_bytes()
    config: object = json.loads((tiny_ct2 / "config.json").read_text())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "other":
        content = content.replace(b"encoder/", b"decoder/")
    else:
        config = {"alignment_heads": "none"}
    (tmp_path / "model.bin").write_bytes(content)
    (tmp_path / "config.json").write_text(json.dumps(config))
    if damage == "config":  # costs no more than the heads that time words
        assert ct2.load_model(tmp_path).dims.n_text_layer == 1
        return
    with pytest.raises(ModelError, match=r"convert it again|convert one") as error:
        ct2.load_model(tmp_path)
    assert "\n" not in str(error.value)
