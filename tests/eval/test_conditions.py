"""Noise at the stated level, recordings of the right clips: a wrong SNR would make every robustness figure wrong."""

from __future__ import annotations

import numpy as np
import pytest

from whisper_steer.data.clips import Clip
from whisper_steer.data.recordings import STYLES
from whisper_steer.errors import DataError, UsageError
from whisper_steer.eval import conditions

RNG = np.random.default_rng(0)
TONE = (0.1 * np.sin(np.arange(48000) * 0.1)).astype(np.float32)
NOISE = (0.01 * RNG.standard_normal(20000)).astype(np.float32)


def clip(name: str, kind: str, audio: np.ndarray, **more: object) -> Clip:
    return Clip(
        id=name, kind=kind, dataset="d", split="test", group=name, seconds=len(audio) / 16000,
        source=audio, **more,
    )  # fmt: skip


CLIPS = [
    clip("s1", "speech", TONE, text="a b c"),
    clip("s2", "speech", TONE * 0.5, text="d e"),
    clip("n1", "nonspeech", NOISE),
    clip("v1", "nonspeech", NOISE, voice=True),
    clip("m1", "nonspeech", NOISE * 3, label="music"),
]


@pytest.mark.parametrize("snr", [20, 0, -5])
def test_the_mix_has_the_stated_ratio_of_powers(snr: int) -> None:
    mixed = conditions.mix(TONE, NOISE, snr)
    gain = float(mixed @ TONE / (TONE @ TONE))
    noise = mixed - gain * TONE
    found = 10 * np.log10(gain**2 * np.mean(TONE**2) / np.mean(noise**2))
    assert found == pytest.approx(snr, abs=0.15)
    assert np.abs(mixed).max() <= 1


def test_quiet_speech_is_as_much_quieter() -> None:
    (quiet, _) = conditions.apply(["quiet:-40"], CLIPS, None, 0)
    assert np.allclose(quiet.samples(), TONE * 0.01)


def test_noise_never_comes_from_a_voice_class() -> None:
    mixed = conditions.apply(conditions.parse(["snr"]), CLIPS, None, 0)
    assert len(mixed) == 10
    assert {c.extra["noise"] for c in mixed} <= {"n1", "m1"}


def test_music_comes_from_music() -> None:
    assert {c.extra["noise"] for c in conditions.apply(["music:5"], CLIPS, None, 0)} == {"m1"}


def test_the_same_seed_gives_the_same_mixes() -> None:
    first, second = (conditions.apply(["snr:0"], CLIPS, None, 3) for _ in range(2))
    assert all(np.array_equal(a.samples(), b.samples()) for a, b in zip(first, second, strict=True))


def test_recordings_are_of_the_styles_and_as_many_as_asked_for() -> None:
    names = conditions.parse(["recordings:pauses:3", "recordings:no-pauses"])
    speech = [clip(f"s{i}", "speech", TONE, text="a b c", language="en") for i in range(4)]
    made = conditions.apply(names, [*CLIPS, *speech], 2, 0)
    assert [c.id for c in made] == ["pauses/0", "pauses/1", "pauses/2", "no-pauses/0", "no-pauses/1"]
    assert {c.kind for c in made} == {"recording"}
    assert conditions.parse(["recordings"]) == [f"recordings:{style}" for style in STYLES]


def test_recordings_speak_the_language_of_the_model() -> None:
    """Else an English model would be measured by its errors on French."""
    speech = [
        clip(f"{language}{i}", "speech", TONE, text="a b", language=language)
        for i in range(6)
        for language in ("en", "fr")
    ]
    made = conditions.apply(["recordings:no-pauses"], [*speech, CLIPS[2]], 4, 0, "en")
    heard = {part["clip"] for c in made for part in c.extra["parts"] if part["text"]}
    assert heard and all(name.startswith("en") for name in heard)


def test_unknown_conditions_and_missing_sounds_are_named() -> None:
    with pytest.raises(UsageError, match="snr:0"):
        conditions.parse(["loud"])
    for wrong in ("recordings:loud", "recordings:pauses:0", "recordings:pauses:some"):
        with pytest.raises(UsageError, match="recordings:STYLE"):
            conditions.parse([wrong])
    with pytest.raises(DataError, match="music"):
        conditions.apply(["music:0"], CLIPS[:3], None, 0)
