"""If these fail, the pack holds the sounds that every gate stops, and calibrates on them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from whisper.model import Whisper

from whisper_steer.data.find_sounds import KEPT, OTHERS, PLAIN, Found, candidates, judged, kept
from whisper_steer.data.pack import FOLDER, Made, recorded_sound
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.gate.kinds import Linear
from whisper_steer.sounds import GENERATORS
from whisper_steer.sounds.textures import recorded


def test_a_sound_is_judged_where_it_lies(tiny_model: Whisper) -> None:
    """Alone in its window or behind others, it is the same sound."""
    prefix = Prefix(tiny_model.encoder, "blocks.0")
    gate = Linear(
        torch.zeros(32), torch.randn(32, generator=torch.Generator().manual_seed(0)), torch.zeros(())
    )
    sounds = [Found("beeps", 3, 4.0), Found("silence", 1, 20.0), Found("rain", 5, 8.0)]
    found = judged(sounds, [(prefix, gate, 0.5), (prefix, gate, 1.5)])
    assert list(found) == sounds
    for first, second in found.values():
        assert first == pytest.approx(second + 1, abs=1e-4)


def test_the_hardest_are_kept_and_some_others() -> None:
    found = {sound: [float(sound.seed % 7), 0.0] for sound in candidates()}
    chosen = kept(found)
    for name in GENERATORS:
        mine = [s for s in chosen if s.name == name]
        all_of_it = [s for s in found if s.name == name]
        assert len(mine) == (2 if name in PLAIN else KEPT.get(name, OTHERS[1]))
        hardest = max(all_of_it, key=lambda s: found[s][0])
        assert found[hardest][0] in [found[s][0] for s in mine]


def test_what_the_pack_holds_was_a_candidate() -> None:
    known = {(s.name, s.seed, s.seconds) for s in candidates()}
    rows = json.loads((FOLDER / "sounds.json").read_text(encoding="utf-8"))
    assert {tuple(row[:3]) for row in rows} <= known


def test_a_microphone_keeps_silence_level_and_length() -> None:
    x = np.sin(np.arange(24000) / 7) * 0.3
    for seed in range(12):
        y = recorded(np.random.default_rng(seed), x)
        assert y.shape == x.shape and y.dtype == np.float32
        assert np.abs(y).max() == pytest.approx(np.abs(x).max(), rel=1e-4)
        np.testing.assert_array_equal(y, recorded(np.random.default_rng(seed), x))
    assert not recorded(np.random.default_rng(0), np.zeros(100)).any()


def test_a_sound_of_the_pack_is_made_once() -> None:
    sound = Made("creak", 1.0, 2)
    assert sound() is sound()
    np.testing.assert_array_equal(sound(), recorded_sound("creak", 1.0, 2))
