"""If these fail, `transcribe` is no drop-in: results differ from stock's, or non-speech still comes out as text."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from conftest import TINY, random_checkpoint
from helpers import ALWAYS_OPEN, ALWAYS_SHUT, Told, make_artifact, telling_artifact, wrapped
from whisper.model import Whisper

import whisper_steer
from whisper_steer.errors import ArtifactError, AudioError, UsageError
from whisper_steer.models.load import load_model
from whisper_steer.runtimes.results import to_decode
from whisper_steer.steer.steering import Steering

OPTIONS: dict[str, Any] = {"language": "en", "fp16": False, "temperature": (0.0, 0.4), "sample_len": 12}
GREEDY: dict[str, Any] = {**OPTIONS, "temperature": 0.0, "condition_on_previous_text": False}


def noise_of(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(16000 * seconds))).astype(np.float32)


def tone_of(seconds: float) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * 440 * np.arange(round(16000 * seconds)) / 16000)).astype(np.float32)


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    return noise_of(65)


@pytest.fixture(scope="module")
def telling(tiny_model: Whisper) -> whisper_steer.Artifact:
    """Its gate takes noise for speech and a tone for none."""
    return telling_artifact(tiny_model.encoder, noise_of(30, 5), tone_of(30))


def steering(model: Whisper, threshold: float, mode: str = "skip") -> Steering:
    return Steering(make_artifact(model.encoder, threshold=threshold), mode=mode)


def told(model: Whisper, *spans: tuple[float, float], **options: Any) -> Told:
    return Told(make_artifact(model.encoder, threshold=ALWAYS_OPEN), list(spans), **options)


def without_steering(result: dict[str, Any]) -> dict[str, Any]:
    segments = [{k: v for k, v in s.items() if k != "steering"} for s in result["segments"]]
    return {**{k: v for k, v in result.items() if k != "steering"}, "segments": segments}


EXTRAS: list[dict[str, Any]] = [
    {},
    {"without_timestamps": True},
    {"word_timestamps": True},
    {"beam_size": 2, "temperature": 0.0},
    {"condition_on_previous_text": False, "initial_prompt": "one two"},
    {"clip_timestamps": [5.0, 20.0, 30.0]},
    {"no_speech_threshold": None, "logprob_threshold": None, "compression_ratio_threshold": None},
]


def within(result: dict[str, Any], clips: list[float]) -> dict[str, Any]:
    """Stock's result without times behind the end of the clip that a segment was heard in."""

    def cut(timed: dict[str, Any], end: float) -> dict[str, Any]:
        words = {"words": [cut(word, end) for word in timed["words"]]} if "words" in timed else {}
        return {**timed, "start": min(timed["start"], end), "end": min(timed["end"], end), **words}

    def end_of(seek: int) -> float:
        return next(
            end for start, end in zip(clips[::2], clips[1::2], strict=True) if start <= seek / 100 < end
        )

    return {**result, "segments": [cut(s, end_of(s["seek"])) for s in result["segments"]]}


@pytest.mark.parametrize("extra", EXTRAS)
def test_where_all_is_speech_or_steering_is_off_every_field_is_stocks(
    tiny_model: Whisper, audio: np.ndarray, extra: dict[str, Any]
) -> None:
    options = {**OPTIONS, **extra}
    torch.manual_seed(0)
    stock = whisper.transcribe(tiny_model, audio, **options)
    assert stock["segments"]
    for chosen in (None, steering(tiny_model, ALWAYS_SHUT)):
        torch.manual_seed(0)
        ours = whisper_steer.transcribe(tiny_model, audio, steering=chosen, **options)
        assert without_steering(ours) == stock
    (span,) = ours["steering"]["spans"]
    assert (span["start"], span["end"], ours["steering"]["seconds"]) == (0.0, 65.0, 65.0)
    assert all(isinstance(s["steering"]["evidence"], float) for s in ours["segments"])


@pytest.mark.parametrize("extra", EXTRAS)
def test_spans_of_speech_come_out_as_stock_writes_them_from_clips(
    tiny_model: Whisper, audio: np.ndarray, extra: dict[str, Any]
) -> None:
    """Times are those of the recording; a user's own clips are kept to."""
    clips = [10.0, 20.0, 40.0, 65.0]  # also of the extra clips, 5 to 20 and from 30 on
    torch.manual_seed(0)
    stock = whisper.transcribe(tiny_model, audio, **{**OPTIONS, **extra, "clip_timestamps": clips})
    assert {s["seek"] // 1000 for s in stock["segments"]} >= {1, 4}
    stock = within(stock, clips)
    torch.manual_seed(0)
    chosen = told(tiny_model, (10.0, 20.0), (40.0, 65.0))
    ours = whisper_steer.transcribe(tiny_model, audio, steering=chosen, **{**OPTIONS, **extra})
    assert without_steering(ours) == stock
    assert [(s["start"], s["end"]) for s in ours["steering"]["spans"]] == [(10.0, 20.0), (40.0, 65.0)]


@pytest.mark.parametrize("given", ["15,50", [15.0, 50.0], (15.0, 18.0, 30.0, 50.0)])
def test_a_users_clips_are_cut_to_the_speech_in_them(
    tiny_model: Whisper, audio: np.ndarray, given: Any
) -> None:
    chosen = told(tiny_model, (10.0, 20.0), (40.0, 65.0))
    ours = whisper_steer.transcribe(tiny_model, audio, steering=chosen, clip_timestamps=given, **GREEDY)
    clips = [15.0, 18.0, 40.0, 50.0] if len(given) == 4 and given[1] == 18.0 else [15.0, 20.0, 40.0, 50.0]
    stock = whisper.transcribe(tiny_model, audio, clip_timestamps=clips, **GREEDY)
    assert without_steering(ours) == within(stock, clips)
    nothing = whisper_steer.transcribe(
        tiny_model, audio, steering=chosen, clip_timestamps=[25.0, 35.0], **GREEDY
    )
    assert (nothing["text"], nothing["segments"]) == ("", [])


@pytest.mark.parametrize("chosen", [None, ALWAYS_SHUT, ALWAYS_OPEN])
def test_no_samples_are_no_text_as_in_stock(tiny_model: Whisper, chosen: float | None) -> None:
    nothing = np.empty(0, np.float32)
    stock = whisper.transcribe(tiny_model, nothing, **OPTIONS)
    with_gate = None if chosen is None else steering(tiny_model, chosen)
    for audio in (nothing, torch.empty(0)):
        ours = whisper_steer.transcribe(tiny_model, audio, steering=with_gate, **OPTIONS)
        assert without_steering(ours) == stock


def test_a_tensor_is_checked_and_read_as_an_array_is(tiny_model: Whisper, audio: np.ndarray) -> None:
    """Also a pair of channels, for which stock asks for hundreds of gigabytes."""
    shut = steering(tiny_model, ALWAYS_SHUT)
    options = {**OPTIONS, "temperature": 0.0, "steering": shut}
    expected = whisper_steer.transcribe(tiny_model, audio[:32000], **options)
    tensor = torch.from_numpy(audio[:32000].copy())
    for same in (tensor, tensor.double(), tensor.clone().requires_grad_(), torch.stack([tensor, tensor], 1)):
        assert whisper_steer.transcribe(tiny_model, same, **options) == expected
    with pytest.raises(AudioError, match="NaN or infinite"):
        whisper_steer.transcribe(tiny_model, tensor * torch.nan, **options)


def test_non_speech_comes_out_empty_and_is_accounted_for(tiny_model: Whisper, audio: np.ndarray) -> None:
    assert whisper.transcribe(tiny_model, audio, **OPTIONS)["text"].strip()
    result = whisper_steer.transcribe(
        tiny_model, audio, steering=steering(tiny_model, ALWAYS_OPEN), **OPTIONS
    )
    assert without_steering(result) == {"text": "", "segments": [], "language": "en"}
    about = result["steering"]
    assert (about["artifact"], about["spans"], about["seconds"]) == ("by-hand", [], 65.0)


@pytest.mark.parametrize("extra", [{}, {"word_timestamps": True}, {"no_speech_threshold": None}])
def test_where_nobody_speaks_nothing_is_decoded(
    tiny_model: Whisper, audio: np.ndarray, extra: dict[str, Any]
) -> None:
    """Silence must not cost what speech costs: of the encoder as much as the gate needs, of the decoder nothing."""
    calls: dict[str, int] = {"encoder": 0, "decoder": 0}

    def count(name: str) -> Callable[..., None]:
        return lambda *_: calls.__setitem__(name, calls[name] + 1)

    handles = [tiny_model.encoder.register_forward_hook(count("encoder"))]
    handles.append(tiny_model.decoder.register_forward_hook(count("decoder")))
    try:
        whisper_steer.transcribe(
            tiny_model, audio, steering=steering(tiny_model, ALWAYS_OPEN), **{**OPTIONS, **extra}
        )
    finally:
        for handle in handles:
            handle.remove()
    assert calls == {"encoder": 0, "decoder": 0}


def test_the_language_is_that_of_the_speech(tmp_path: Path) -> None:
    """Stock hears the first half minute, whatever it is. This random model hears two languages in the two sounds."""
    path = random_checkpoint(tmp_path / "model.pt", replace(TINY, n_vocab=51865), seed=6)
    model = whisper.load_model(str(path), device="cpu")
    options = {**GREEDY, "language": None}
    audio = np.concatenate([tone_of(35), noise_of(35)])
    chosen = told(model, (36.0, 70.0))
    ours = whisper_steer.transcribe(model, audio, steering=chosen, **options)
    expected = whisper.transcribe(model, audio[36 * 16000 :], **options)["language"]
    assert ours["language"] == expected != whisper.transcribe(model, audio, **options)["language"]
    named = whisper_steer.transcribe(model, audio, steering=chosen, **{**options, "language": "de"})
    assert named["language"] == "de"
    clips = {"language": expected, "clip_timestamps": [36.0, 70.0]}
    stock = whisper.transcribe(model, audio, **{**options, **clips})
    assert without_steering(ours) == within(stock, [36.0, 70.0])


def test_a_pause_in_a_real_listening_is_not_decoded(
    tiny_model: Whisper, telling: whisper_steer.Artifact
) -> None:
    """From samples to segments with nothing told: noise, then a tone, then noise."""
    audio = np.concatenate([noise_of(30), tone_of(60), noise_of(20, 1)])
    found = whisper_steer.transcribe(tiny_model, audio, steering=Steering(telling), **GREEDY)
    first, second = found["steering"]["spans"]
    assert (first["start"], second["end"]) == (0.0, 110.0)
    assert (first["end"], second["start"]) == pytest.approx((30.0, 90.0), abs=3.0)
    assert found["segments"]
    windows = [
        segment["seek"] / 100 for segment in found["segments"]
    ]  # a random model's timestamps lie anywhere
    assert all(place < first["end"] or place >= second["start"] - 0.01 for place in windows)
    stock = whisper.transcribe(tiny_model, audio, **GREEDY)
    assert any(40 < segment["seek"] / 100 < 80 for segment in stock["segments"])


def test_mode_steer_edits_what_is_no_speech_and_nothing_else(
    tiny_model: Whisper, telling: whisper_steer.Artifact
) -> None:
    audio = np.concatenate([noise_of(30), tone_of(60), noise_of(20, 1)])
    chosen = Steering(telling, mode="steer", method="mean-difference", strength=5.0)
    found = whisper_steer.transcribe(tiny_model, audio, steering=chosen, **GREEDY)
    hearing = chosen.listen(chosen.prefix(tiny_model.encoder), audio)
    clips = to_decode(chosen, hearing, [(0.0, 110.0)])
    assert len(clips) == 3
    flat = [time for clip in clips for time in clip]
    stock = whisper.transcribe(tiny_model, audio, clip_timestamps=flat, **GREEDY)
    first, last = hearing.spans

    def spoken(segments: list[dict[str, Any]]) -> list[list[int]]:
        inside = (s for s in segments if not first.end * 100 <= s["seek"] < last.start * 100)
        return [s["tokens"] for s in inside]

    assert spoken(found["segments"]) == spoken(stock["segments"]) != []
    assert [s["tokens"] for s in found["segments"]] != [s["tokens"] for s in stock["segments"]]
    assert not any(m._forward_hooks for m in tiny_model.encoder.modules())


def test_four_threads_on_one_model_write_what_one_writes(
    tiny_model: Whisper, telling: whisper_steer.Artifact
) -> None:
    """A service takes requests side by side; whose result holds another's words is worse than a slow one."""
    sounds = [
        np.concatenate([noise_of(4 + i % 3, i), tone_of(9)] if i % 2 else [tone_of(12 + i)]) for i in range(8)
    ]
    modes = ("skip", "steer")
    jobs = [(sound, Steering(telling, mode=modes[i % 3 == 0])) for i, sound in enumerate(sounds)]

    def transcribed(job: tuple[np.ndarray, Steering]) -> dict[str, Any]:
        return whisper_steer.transcribe(tiny_model, job[0], steering=job[1], **GREEDY)

    serial = [transcribed(job) for job in jobs]
    assert len({str(result["segments"]) for result in serial}) > 3
    assert any(result["text"] == "" for result in serial)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(transcribed, jobs)) == serial


def test_the_models_own_method_is_steered_and_so_are_its_copies(
    tiny_path: Path, audio: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Most programs call model.transcribe: an import line alone must steer them."""
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path))
    model = load_model(tiny_path, "cpu")
    make_artifact(model.encoder, threshold=ALWAYS_OPEN).save(tmp_path / "steering" / "mine")
    expected = whisper_steer.transcribe(model, audio, **GREEDY)
    for each in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert each.transcribe(audio, **GREEDY) == expected
        assert each.transcribe(audio, steering=None, **GREEDY) == whisper.transcribe(model, audio, **GREEDY)


@pytest.mark.parametrize("wrap", ["compile", "compile in place", "data parallel"])
def test_a_model_with_a_compiled_encoder_finds_its_steering(
    tiny_path: Path,
    tiny_model: Whisper,
    audio: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrap: str,
) -> None:
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path))
    for point in ("blocks.1", "ln_post"):
        artifact = make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN, hook_point=point)
        artifact.save(tmp_path / "steering" / "mine")
        expected = whisper_steer.transcribe(tiny_model, audio, **OPTIONS)
        model = whisper.load_model(str(tiny_path), device="cpu")
        model.encoder = wrapped(model.encoder, wrap)
        whisper.transcribe(model, audio, **OPTIONS)  # compiled now, before the hook comes
        found = whisper_steer.transcribe(model, audio, **OPTIONS)
        assert found == expected
        assert (found["text"], found["steering"]["spans"]) == ("", [])


def test_the_model_is_not_changed(tiny_model: Whisper, audio: np.ndarray) -> None:
    before = tiny_model.decode
    whisper_steer.transcribe(
        tiny_model, audio[:16000], steering=steering(tiny_model, ALWAYS_OPEN, mode="steer"), **OPTIONS
    )
    assert tiny_model.decode == before
    assert not any(m._forward_hooks for m in tiny_model.encoder.modules())


def test_the_drop_in_has_every_public_name_of_whisper() -> None:
    names = [
        "load_model",
        "transcribe",
        "available_models",
        "load_audio",
        "pad_or_trim",
        "decode",
        "log_mel_spectrogram",
        "detect_language",
        "DecodingOptions",
        "DecodingResult",
        "Whisper",
        "ModelDimensions",
        "Hearing",
        "Span",
        "listen",
    ]
    for name in names:
        assert callable(getattr(whisper_steer, name)), name
    assert whisper_steer.DecodingOptions is whisper.DecodingOptions
    with pytest.raises(AttributeError):
        _ = whisper_steer.nothing_of_the_kind


def test_wrong_use_is_told(
    tiny_model: Whisper, audio: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path))
    with pytest.raises(ArtifactError, match="whisper-steer fit"):
        whisper_steer.transcribe(tiny_model, audio, **OPTIONS)
    with pytest.raises(UsageError, match="not to both"):
        whisper_steer.transcribe(
            tiny_model, audio, steering=steering(tiny_model, 0.0), mode="skip", **OPTIONS
        )


@pytest.mark.parametrize("mode", ["skip", "steer"])
def test_a_last_span_of_half_a_frame_more_comes_to_an_end(tiny_model: Whisper, mode: Any) -> None:
    """Stock's loop runs for ever where a clip ends behind the last whole frame, which half of all lengths do."""
    audio = np.concatenate([noise_of(6), tone_of(5)])[:-75]
    chosen = told(tiny_model, (6.0, len(audio) / 16000))
    chosen.mode = mode
    found = whisper_steer.transcribe(tiny_model, audio, steering=chosen, **GREEDY)
    assert found["segments"]
