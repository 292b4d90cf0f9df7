"""If these fail, the gate learns, and is reported on, at another SNR than stated."""

import numpy as np
import pytest

from whisper_steer.data.labels import NONSPEECH, SPEECH
from whisper_steer.fit.degrade import at_speed, band_limit, mix, phone_band


def test_mix_has_the_snr_it_says(rng: np.random.Generator) -> None:
    speech, noise = rng.normal(size=16000) * 0.1, rng.normal(size=16000) * 0.7
    for snr in (-5.0, 0.0, 10.0):
        added = mix(speech, noise, snr) - speech
        assert 10 * np.log10((speech**2).mean() / (added**2).mean()) == pytest.approx(snr, abs=0.01)


def test_mix_measures_speech_where_it_is(rng: np.random.Generator) -> None:
    """Half a window of silence must not make the noise 3 dB weaker."""
    speech = np.concatenate([rng.normal(size=16000) * 0.1, np.zeros(16000)])
    labels = np.array([SPEECH] * 50 + [NONSPEECH] * 50, np.int8)
    noise = rng.normal(size=32000)
    added = mix(speech, noise, 0.0, labels) - speech
    assert (added**2).mean() == pytest.approx((speech[:16000] ** 2).mean(), rel=0.01)


def test_a_telephone_keeps_the_middle_and_loses_the_top(rng: np.random.Generator) -> None:
    noise = rng.normal(size=48000).astype(np.float32) * 0.1
    power = np.abs(np.fft.rfft(band_limit(noise, rng))) ** 2 / np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.fft.rfftfreq(48000, 1 / 16000)
    middle, top = (np.median(power[(hertz > a) & (hertz < b)]) for a, b in ((600, 1800), (5000, 7500)))
    assert middle > 100 * top


def test_a_telephone_carries_its_band_and_no_more() -> None:
    """1 kHz comes through as it was, 100 Hz and 5 kHz do not."""
    t = np.arange(16000) / 16000
    levels = [
        float(np.sqrt(np.mean(phone_band((0.3 * np.sin(2 * np.pi * f * t)).astype(np.float32)) ** 2)))
        for f in (1000, 100, 5000)
    ]
    assert levels[0] == pytest.approx(0.3 / 2**0.5, rel=0.03)
    assert max(levels[1:]) < 0.02


def test_twice_as_fast_is_an_octave_higher() -> None:
    t = np.arange(32000) / 16000
    fast = at_speed(np.sin(2 * np.pi * 500 * t).astype(np.float32), 2.0)
    assert len(fast) == 16000
    assert np.argmax(np.abs(np.fft.rfft(fast))) == 1000
