"""If these fail, the synthetic sounds are not what their names say, or differ from run to run."""

from __future__ import annotations

import numpy as np
import pytest
from faster_whisper.vad import get_speech_timestamps
from scipy import signal

from whisper_steer.errors import UsageError
from whisper_steer.sounds import GENERATORS, generate
from whisper_steer.sounds.instruments import pluck
from whisper_steer.sounds.machines import DTMF_HIGH, DTMF_LOW


def spectrum(x: np.ndarray, sr: int = 16000) -> tuple[np.ndarray, np.ndarray]:
    return np.fft.rfftfreq(len(x), 1 / sr), np.abs(np.fft.rfft(x * np.hanning(len(x))))


@pytest.mark.parametrize("name", sorted(GENERATORS))
def test_every_sound_is_bounded_repeatable_and_varied(name: str) -> None:
    x = generate(name, 1.5, 3)
    assert x.dtype == np.float32 and x.shape == (24000,)
    assert np.isfinite(x).all() and np.abs(x).max() <= 1
    np.testing.assert_array_equal(x, generate(name, 1.5, 3))
    if name != "silence":
        assert np.abs(x).max() > 0
        assert not np.array_equal(x, generate(name, 1.5, 4))


def test_silence_is_exact_and_dither_is_a_few_16_bit_steps() -> None:
    assert not generate("silence", 1, 0).any()
    steps = generate("dither", 1, 0) * 32768
    np.testing.assert_array_equal(steps, np.round(steps))
    assert 1 <= np.abs(steps).max() <= 3


@pytest.mark.parametrize(
    ("name", "slope"), [("white_noise", 0.0), ("pink_noise", -3.01), ("brown_noise", -6.02)]
)
def test_noise_falls_by_its_slope_per_octave(name: str, slope: float) -> None:
    f, power = signal.welch(generate(name, 30, 1), 16000, nperseg=4096)
    use = (f > 60) & (f < 7000)
    fitted = np.polyfit(np.log2(f[use]), 10 * np.log10(power[use]), 1)[0]
    assert fitted == pytest.approx(slope, abs=0.2)


def test_hum_peaks_at_the_mains_frequency() -> None:
    peaks = []
    for seed in range(12):
        f, a = spectrum(generate("mains_hum", 10, seed))
        peaks.append(f[a.argmax()])
    assert all(min(abs(p - 50), abs(p - 60)) < 0.3 for p in peaks)
    assert {round(p) for p in peaks} == {50, 60}


@pytest.mark.parametrize("sr", [8000, 16000, 48000])
def test_a_dialled_key_is_its_two_tones(sr: int) -> None:
    for seed in range(5):
        key = generate("dtmf", 3, seed, sr)[: int(0.06 * sr)].astype(float)
        t = np.arange(len(key)) / sr
        power = {f: abs(np.exp(-2j * np.pi * f * t) @ key) ** 2 for f in DTMF_LOW + DTMF_HIGH}
        low, high = max(DTMF_LOW, key=lambda f: power[f]), max(DTMF_HIGH, key=lambda f: power[f])
        basis = np.stack([g(2 * np.pi * f * t) for f in (low, high) for g in (np.sin, np.cos)], 1)
        rest = key - basis @ np.linalg.lstsq(basis, key, rcond=None)[0]
        assert (rest**2).sum() < 1e-4 * (key**2).sum()


def test_call_progress_holds_only_standard_tones() -> None:
    standard = np.array([350, 400, 425, 440, 450, 480, 620, 950, 1400, 1800])
    for seed in range(8):
        f, a = spectrum(generate("call_progress", 10, seed))
        strong = f[a > 0.5 * a.max()]
        assert (np.abs(strong[:, None] - standard).min(1) < 5).all()


def test_a_plucked_string_repeats_at_its_period_and_dies() -> None:
    x = pluck(np.random.default_rng(0), 220, 16000, 16000)
    lags = np.correlate(x[:4000], x[:4000], "full")[4000 - 1 :]
    assert 30 + lags[30:200].argmax() == pytest.approx(16000 / 220, abs=1)
    assert np.abs(x[12000:15000]).max() < 0.5 * np.abs(x[:3000]).max()


def test_room_tone_is_quiet() -> None:
    assert all(np.abs(generate("room_tone", 2, seed)).max() < 10 ** (-25 / 20) + 1e-6 for seed in range(10))


STEADY = (
    "silence dither white_noise pink_noise brown_noise room_tone mains_hum phone_line wind waves fan engine drill "
    "dtmf call_progress siren beeps birds insects clapping fire"
)


@pytest.mark.parametrize("name", STEADY.split())
def test_a_voice_detector_hears_no_speech_in_plain_sounds(name: str) -> None:
    """Silero VAD opens on some of the other sounds; the card of the calibration pack has the count for each."""
    assert not any(get_speech_timestamps(generate(name, 5, seed)) for seed in (100, 101, 102))


def test_unknown_names_and_empty_durations_are_refused() -> None:
    with pytest.raises(UsageError, match="choose from"):
        generate("speech", 1, 0)
    with pytest.raises(UsageError, match="positive"):
        generate("rain", 0, 0)
