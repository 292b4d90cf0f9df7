"""If these fail, the loss recovered is not the decoder's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.data.pack import load_speech
from whisper_steer.formats.hf import save_hf
from whisper_steer.sae import recovered


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [c for c in load_speech("choose") if c.language == "en" and c.seconds > 3][:3]


def test_the_cross_entropy_is_that_of_transformers(tiny_model: Whisper, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    save_hf(tiny_model, tmp_path)
    theirs = transformers.WhisperForConditionalGeneration.from_pretrained(tmp_path).float()
    features = torch.randn(1, 1500, 32, generator=torch.Generator().manual_seed(0))
    written = transformers.AutoTokenizer.from_pretrained(tmp_path)(
        " how do you do?", add_special_tokens=False
    )
    sot, no_timestamps, eot = 50257, 50362, 50256
    tokens = torch.tensor([[sot, no_timestamps, *written["input_ids"], eot]])
    logits = theirs(encoder_outputs=(features,), decoder_input_ids=tokens[:, :-1]).logits[0, 1:]
    expected = torch.nn.functional.cross_entropy(logits, tokens[0, 2:])
    for text in ("how do you do?", "HOW DO YOU DO?"):
        found = recovered.cross_entropy(tiny_model, features, text, "en")
        assert found == pytest.approx(float(expected.detach()), abs=1e-3)
    again = recovered.with_decoder(str(tmp_path), torch.device("cpu"))
    assert recovered.cross_entropy(again, features, "how do you do?", "en") == pytest.approx(found, abs=1e-3)


@pytest.mark.slow
def test_nothing_lost_is_1_and_the_mean_is_0(tiny_en: Whisper, clips: list[Clip]) -> None:
    """The genuine tiny.en writes what is said, and with the encoder's output gone it does not."""
    clean = recovered.hear(tiny_en, clips[:1])
    same = recovered.hear(tiny_en, clips[:1], "ln_post", recovered.replaced(lambda h: h.clone()))
    mean = recovered.hear(tiny_en, clips[:1], "ln_post", recovered.replaced(lambda h: h.mean(0).expand_as(h)))
    found = recovered.recovered(clean, mean, same, clips[:1])
    assert found["loss_recovered"] == pytest.approx(1, abs=1e-5)
    assert found["wer_clean"] == found["wer_sae"] < 0.3 < found["wer_ablated"]
    assert found["ce_clean"] < 2 < found["ce_ablated"]
    assert recovered.recovered(clean, mean, mean, clips[:1])["loss_recovered"] == 0


def test_clips_are_speech_with_a_transcript_in_a_language_of_the_model(
    tiny_model: Whisper, clips: list[Clip]
) -> None:
    none = np.zeros(1, np.float32)
    others = [
        replace(clips[0], text=None),
        replace(clips[0], seconds=31.0),
        replace(clips[0], language="fr"),
        Clip("nonspeech", "choose", "x", none, seconds=1.0),
    ]
    assert (
        recovered.suitable([*others, *clips], tiny_model, 2, lambda clip: -clip.seconds)
        == sorted(clips, key=lambda clip: -clip.seconds)[:2]
    )
