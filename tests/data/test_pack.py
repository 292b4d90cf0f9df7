"""If these fail, `whisper-steer fit` without data of the user's learns from a pack that is not what it says."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from faster_whisper.vad import get_speech_timestamps

from whisper_steer.data.clips import Clip
from whisper_steer.data.make_pack import GAP, make_pack, write_speech
from whisper_steer.data.pack import FOLDER, load_pack
from whisper_steer.data.synthetic_speech import RECORDED, VARIANTS, plan_speech, say
from whisper_steer.errors import DataError, MissingPackageError
from whisper_steer.sounds import GENERATORS

SYNTHESISERS = pytest.mark.skipif(
    not (shutil.which("espeak-ng") and shutil.which("flite")), reason="espeak-ng and flite are not installed"
)


@pytest.fixture(scope="module")
def pack() -> list[Clip]:
    return load_pack()


def test_size_and_contents(pack: list[Clip]) -> None:
    assert sum(f.stat().st_size for f in FOLDER.iterdir()) <= 10e6
    minutes: dict[tuple[str, str], float] = defaultdict(float)
    for clip in pack:
        samples = clip.samples()
        assert samples.dtype == np.float32 and np.abs(samples).max() <= 1
        assert clip.seconds == pytest.approx(len(samples) / 16000, abs=1e-4)
        assert (clip.text is None) == (clip.kind == "nonspeech") == (clip.label is not None)
        minutes[clip.kind, clip.split] += clip.seconds / 60
    assert minutes["speech", "fit"] == pytest.approx(31, abs=0.5)
    assert minutes["speech", "choose"] == pytest.approx(13, abs=0.5)
    assert min(minutes["nonspeech", "fit"], minutes["nonspeech", "choose"]) > 20
    assert {c.label for c in pack if c.kind == "nonspeech"} == set(GENERATORS)


def test_no_speaker_is_in_both_splits(pack: list[Clip]) -> None:
    speakers = {s: {c.group for c in pack if c.kind == "speech" and c.split == s} for s in ("fit", "choose")}
    assert not speakers["fit"] & speakers["choose"]
    assert len(speakers["fit"]) > 40 and len(speakers["choose"]) > 15
    assert not {s for _, _, s in RECORDED["fit"]} & {s for _, _, s in RECORDED["choose"]}
    kept_for_choosing = {c.language for c in pack if c.split == "choose"} - {"en", None}
    assert len(kept_for_choosing) >= 5
    assert not kept_for_choosing & {c.language for c in pack if c.split == "fit"}


def test_the_gaps_of_the_index_are_silent_and_its_clips_are_not() -> None:
    """An index that slipped against its audio would cut words in half."""
    speech = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))["speech"]
    track = soundfile.read(FOLDER / "speech-choose.ogg", dtype="float32")[0]
    for s in (s for s in speech if s["file"] == "speech-choose.ogg"):
        clip, end = track[s["offset"] : s["offset"] + s["samples"]], s["offset"] + s["samples"]
        assert np.abs(clip).max() > 0.3
        assert np.abs(track[end + 400 : end + GAP - 400]).max() < 0.02


def test_longer_texts_take_longer(pack: list[Clip]) -> None:
    clips = [c for c in pack if c.kind == "speech" and c.language == "en" and c.text and len(c.text) > 20]
    letters, seconds = zip(*[(len(str(c.text)), len(c.samples())) for c in clips], strict=True)
    assert np.corrcoef(letters, seconds)[0, 1] > 0.8


def test_a_voice_detector_hears_the_speech(pack: list[Clip]) -> None:
    speech = [c for c in pack if c.kind == "speech"][::6]
    heard = [bool(get_speech_timestamps(c.samples())) for c in speech]
    assert len(speech) > 200 and np.mean(heard) >= 0.95


@SYNTHESISERS
def test_coding_keeps_the_waveform(tmp_path: Path) -> None:
    """What the pack stores is what the voices said, every clip in its place."""
    texts = json.loads((FOLDER / "texts.json").read_text(encoding="utf-8"))
    entries = write_speech(tmp_path / "some.ogg", np.random.default_rng(1), "choose", 0.2, texts)
    track = soundfile.read(tmp_path / "some.ogg", dtype="float32")[0]
    rng = np.random.default_rng(1)
    for entry, (voice, text) in zip(entries, plan_speech(rng, "choose", texts), strict=False):
        said = say(voice, text, rng, tmp_path / "clip.wav")
        assert (entry["text"], entry["name"]) == (text, voice.name)
        kept = track[entry["offset"] : entry["offset"] + entry["samples"]]
        assert np.corrcoef(said, kept)[0, 1] > 0.98


@SYNTHESISERS
def test_variants_sound_apart(tmp_path: Path) -> None:
    """espeak-ng answers an unknown variant with its plain voice: one speaker under two names, in both splits."""
    names = VARIANTS["fit"] + VARIANTS["choose"]
    assert len(set(names)) == len(names)
    said = [
        subprocess.run(
            ["espeak-ng", "-v", f"en-us+{v}", "--stdout", "seven"], capture_output=True, check=True
        ).stdout
        for v in names
    ]
    assert len(set(said)) == len(names)


def test_missing_programs_and_damaged_packs_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="reinstall"):
        load_pack(tmp_path)
    for file in FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 100_000 if file.suffix == ".ogg" else None])
    with pytest.raises(DataError, match="reinstall"):
        load_pack(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingPackageError, match="espeak-ng"):
        make_pack(tmp_path / "new")
