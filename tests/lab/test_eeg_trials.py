"""If these fail, EEG that is laid out as documented cannot be read, or the wrong channel or sound is."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from whisper_steer.errors import DataError, MissingPackageError, UsageError
from whisper_steer.lab.eeg_trials import read_folder, read_naplib


def a_trial(path: Path, *, channels: list[str], sound: str | None = None, rate: float = 64.0) -> np.ndarray:
    """Written with its sound beside it, unless that has a name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    eeg = np.random.default_rng(0).standard_normal((640, len(channels))).astype(np.float32)
    extra = {} if sound is None else {"sound": sound}
    np.savez(path, eeg=eeg, rate=rate, channels=channels, **extra)
    if sound is None:
        soundfile.write(path.with_suffix(".wav"), np.zeros(160000), 16000)
    return eeg


def test_subjects_share_sounds(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "story.wav", np.zeros(160000), 16000)
    for subject in ("s1", "s2"):
        eeg = a_trial(tmp_path / subject / "1.npz", channels=["Cz", "Pz"], sound="../story.wav")
    found = read_folder(tmp_path)
    assert list(found.subjects) == ["s1", "s2"]
    (sound,) = found.sounds
    assert found.samples(sound).shape == (160000,)
    (trial,) = found.subjects["s1"]
    np.testing.assert_array_equal(trial.eeg, eeg)
    assert (trial.rate, trial.channels) == (64.0, ["Cz", "Pz"])
    assert found.channel(None) == "Pz"
    assert found.channel("Cz") == "Cz"
    with pytest.raises(UsageError, match="--channel takes Cz, Pz"):
        found.channel("Oz")


def test_trials_of_one_subject_need_no_folder(tmp_path: Path) -> None:
    for name in ("1", "2"):
        a_trial(tmp_path / f"{name}.npz", channels=["A1"])
    found = read_folder(tmp_path)
    assert [Path(trial.sound).name for trial in found.subjects[tmp_path.name]] == ["1.wav", "2.wav"]
    assert found.channel(None) == "A1"


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder"):
        read_folder(tmp_path / "missing")
    with pytest.raises(DataError, match=r"SUBJECT/TRIAL\.npz"):
        read_folder(tmp_path)
    path = tmp_path / "1.npz"
    np.savez(path, eeg=np.zeros((10, 2)), rate=64.0)
    with pytest.raises(DataError, match="it needs eeg, rate and channels"):
        read_folder(tmp_path)
    np.savez(path, eeg=np.zeros((2, 10)), rate=64.0, channels=["Pz", "Cz"])
    with pytest.raises(DataError, match=r"\(samples, channels\)"):
        read_folder(tmp_path)
    np.savez(path, eeg=np.full((10, 1), np.nan), rate=64.0, channels=["Pz"])
    with pytest.raises(DataError, match="no numbers"):
        read_folder(tmp_path)
    np.savez(path, eeg=np.zeros((10, 1)), rate=64.0, channels=["Pz"])
    with pytest.raises(DataError, match="no audio"):
        read_folder(tmp_path)
    path.write_bytes(b"PK no archive")
    with pytest.raises(DataError, match="no trial"):
        read_folder(tmp_path)


def test_naplibs_task_is_read_without_importing_naplib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install '.[eeg]'")
    data = tmp_path / "naplib" / "io" / "sample_data"
    data.mkdir(parents=True)
    (tmp_path / "naplib" / "__init__.py").write_text("raise ImportError('numpy is too new')\n")
    eeg = rng.standard_normal((300, 2))

    def text(words: str) -> np.ndarray:
        return np.array([[ord(letter)] for letter in words], np.uint16)

    with h5py.File(data / "demo_data.mat", "w") as file:  # MATLAB's struct, as in the package
        names = [file.create_dataset(f"#refs#/n{i}", data=text(n)).ref for i, n in enumerate(("F7", "Cz"))]
        fields = {
            "name": text("stim01"),
            "sound": rng.uniform(-1, 1, (1, 33075)),
            "soundf": np.array([[11025.0]]),
            "dataf": np.array([[99.99999999999999]]),
            "resp": eeg,
            "chname": np.array([[ref] for ref in names], h5py.ref_dtype),
        }
        for name, value in fields.items():
            held = file.create_dataset(f"#refs#/{name}", data=value)
            file.create_dataset(f"out/{name}", data=np.array([[held.ref]], h5py.ref_dtype))
    monkeypatch.syspath_prepend(tmp_path)
    found = read_naplib()
    assert "naplib" not in sys.modules
    (trial,) = found.subjects["simulated"]
    np.testing.assert_array_equal(trial.eeg, eeg)
    assert (trial.sound, trial.channels) == ("stim01", ["F7", "Cz"])
    assert len(found.samples("stim01")) == 48000
    (data / "demo_data.mat").write_bytes(b"cut")
    with pytest.raises(DataError, match="install naplib"):
        read_naplib()


def test_without_naplib_the_remedy_leaves_numpy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="--no-deps naplib"):
        read_naplib()
