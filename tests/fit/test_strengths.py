"""If these fail, an artifact's edits act too weakly or too strongly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import whisper
from helpers import three_latents
from whisper.model import Whisper

from whisper_steer.encoders.record import Activations
from whisper_steer.fit import strengths
from whisper_steer.steer.methods import METHODS
from whisper_steer.steer.registry import Registry


def test_the_strength_that_leaves_least_is_chosen_by_whispers_own_decoding(
    tiny_model: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text where an empty result is allowed, and windows that its rule keeps, one window at a time."""
    n_state, edits = tiny_model.dims.n_audio_state, three_latents()
    hidden = np.random.default_rng(0).standard_normal((3, 1500, n_state)).astype(np.float16)
    labels = np.zeros((3, 1500), np.int8)
    windows = Activations(hidden, labels, np.full(3, 1500), np.zeros(3, bool), ["full"] * 3)
    methods: Registry = Registry()
    methods["mean-difference"] = METHODS["mean-difference"]
    monkeypatch.setattr(strengths, "METHODS", methods)
    edits.mean_difference = 30 * torch.randn(n_state, generator=torch.Generator().manual_seed(1))
    chosen, shares = strengths.choose(tiny_model, "ln_post", edits, windows)
    for strength, left in shares["mean-difference"].items():
        h = torch.from_numpy(hidden).float() + float(strength) * edits.mean_difference
        written, kept = [], []
        for window in h:
            options = {"language": "en", "fp16": False, "sample_len": 24, "length_penalty": 0.0}
            free = whisper.DecodingOptions(without_timestamps=True, suppress_blank=False, **options)
            written.append(whisper.decode(tiny_model, window, free).text.strip() != "")
            stock = whisper.decode(tiny_model, window, whisper.DecodingOptions(**options))
            kept.append(not (stock.no_speech_prob > 0.6 and stock.avg_logprob <= -1))
        assert left == {"text": np.mean(written), "kept": np.mean(kept)}
    totals = {float(s): sum(left.values()) for s, left in shares["mean-difference"].items()}
    assert totals[chosen["mean-difference"]] == min(totals.values())
