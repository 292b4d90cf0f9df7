"""If these fail, transcripts differ from stock's, or an hour of audio takes gigabytes again."""

import errno
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import whisper
from whisper.audio import N_SAMPLES

from whisper_steer.audio import load as audio
from whisper_steer.audio import spectrogram
from whisper_steer.audio.load import load_audio
from whisper_steer.audio.spectrogram import BLOCK, log_mel_spectrogram
from whisper_steer.errors import AudioError


@pytest.mark.parametrize("n", [400, 16000, BLOCK * 160 - 1, BLOCK * 160 + 1, BLOCK * 320 + 12345])
@pytest.mark.parametrize("padding", [0, N_SAMPLES])
@pytest.mark.parametrize("n_mels", [80, 128])
def test_it_is_stocks_to_the_bit(n: int, padding: int, n_mels: int) -> None:
    samples = np.random.default_rng(n).standard_normal(n).astype(np.float32) * 0.1
    samples[n // 2 :] *= 1e-3
    assert torch.equal(
        log_mel_spectrogram(samples, n_mels, padding), whisper.log_mel_spectrogram(samples, n_mels, padding)
    )


def test_a_long_recording_lies_in_a_file_and_stays_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = np.random.default_rng(0).standard_normal((100 * 8000, 2)) * 0.1
    soundfile.write(tmp_path / "long.wav", samples, 8000)
    short = load_audio(tmp_path / "long.wav")
    monkeypatch.setattr(audio, "LONG", 16000)
    monkeypatch.setattr(spectrogram, "LONG", 16000)
    long = load_audio(tmp_path / "long.wav")
    assert isinstance(long, np.memmap)
    assert np.array_equal(long, short)
    assert torch.equal(log_mel_spectrogram(long), whisper.log_mel_spectrogram(short))


def test_a_disk_without_room_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse file would end the process with SIGBUS as soon as it is written to."""

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    soundfile.write(tmp_path / "long.wav", np.zeros(32000), 16000)
    monkeypatch.setattr(audio, "LONG", 16000)
    monkeypatch.setattr(spectrogram, "LONG", 16000)
    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    for read in (lambda: load_audio(tmp_path / "long.wav"), lambda: log_mel_spectrogram(torch.zeros(32000))):
        with pytest.raises(AudioError, match=r"no room for a long recording in .*TMPDIR") as caught:
            read()
        assert "\n" not in str(caught.value)


def test_no_temporary_folder_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile.write(tmp_path / "long.wav", np.zeros(32000), 16000)
    expected = load_audio(tmp_path / "long.wav")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    np.testing.assert_array_equal(load_audio(tmp_path / "long.wav"), expected)  # short ones need none
    monkeypatch.setattr(audio, "LONG", 16000)
    with pytest.raises(AudioError, match=r"no temporary file .*TMPDIR"):
        load_audio(tmp_path / "long.wav")
