"""transformers users keep their model, their pipeline and every word; only what nobody said goes."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from helpers import ALWAYS_OPEN, ALWAYS_SHUT, make_artifact, wrapped
from whisper.model import Whisper

from whisper_steer import Steering, wrap
from whisper_steer.audio.spectrogram import window_mel
from whisper_steer.data.pack import load_speech
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.errors import ArtifactError, AudioError, FingerprintError, UsageError
from whisper_steer.formats.hf import build_hf
from whisper_steer.formats.tokenizer import language_tokens, make_tokenizer
from whisper_steer.gate.kinds import Linear, steps_of
from whisper_steer.runtimes.hf_decode import detected_language
from whisper_steer.runtimes.transformers import SteeredModel, SteeredPipeline, hf_fingerprint, prefix_of
from whisper_steer.sae.model import normalise

transformers = pytest.importorskip("transformers")

RATE = 16000
LONG = "The second experiment took longer"
SHORT = "Open the second drawer"
GREEDY = {"num_beams": 1}
FALLBACK = {
    **GREEDY,
    "temperature": (0.0, 0.2),
    "compression_ratio_threshold": 2.4,
    "logprob_threshold": -1.0,
}


@pytest.fixture(scope="module")
def sentences() -> dict[str, np.ndarray]:
    """Two sentences that tiny.en gets right, of 9 s and 4 s, by their texts."""
    clips = load_speech("choose")
    return {
        text: next(c.samples() for c in clips if (c.text or "").startswith(text)) for text in (LONG, SHORT)
    }


@pytest.fixture(scope="module")
def said() -> dict[str, list[str]]:
    """Their words."""
    texts = [c.text or "" for c in load_speech("choose")]
    return {text: words(next(t for t in texts if t.startswith(text))) for text in (LONG, SHORT)}


@pytest.fixture(scope="module")
def paused(sentences: dict[str, np.ndarray]) -> np.ndarray:
    """35 s: the short sentence, 10 s of noise, the long one, 12 s of digital silence."""
    noise = 0.02 * np.random.default_rng(0).standard_normal(10 * RATE).astype(np.float32)
    return np.concatenate([sentences[SHORT], noise, sentences[LONG], np.zeros(12 * RATE, np.float32)])


@pytest.fixture(scope="module")
def places(sentences: dict[str, np.ndarray]) -> list[tuple[float, float]]:
    """Where in it the sentences are, in seconds."""
    long, short = len(sentences[LONG]) / RATE, len(sentences[SHORT]) / RATE
    return [(0.0, short), (short + 10, short + 10 + long)]


@pytest.fixture(scope="module")
def model(tiny_en: Whisper) -> Any:
    return build_hf(tiny_en)


@pytest.fixture(scope="module")
def pipe(model: Any) -> Any:
    return pipeline_of(model)


@pytest.fixture(scope="module")
def steered(pipe: Any, tiny_en_steering: Steering) -> SteeredPipeline:
    return wrap(pipe, tiny_en_steering)


@pytest.fixture(scope="module")
def small(tiny_model: Whisper) -> Any:
    """Random weights."""
    return build_hf(tiny_model)


def pipeline_of(model: Any) -> Any:
    special = dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), "<|endoftext|>")
    tokenizer = transformers.WhisperTokenizerFast(
        tokenizer_object=make_tokenizer(model.config.vocab_size), **special
    )
    if languages := list(language_tokens(model.config.vocab_size)):
        tokenizer.add_special_tokens({"additional_special_tokens": languages})
    extractor = transformers.WhisperFeatureExtractor(feature_size=80)
    return transformers.pipeline(
        "automatic-speech-recognition", model=model, tokenizer=tokenizer, feature_extractor=extractor
    )


def features(recordings: list[np.ndarray], **options: Any) -> Any:
    extractor = transformers.WhisperFeatureExtractor(feature_size=80)
    return extractor(
        recordings, sampling_rate=RATE, return_tensors="pt", return_attention_mask=True, **options
    )


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower().replace("9", "nine"))


def text_of(tokens: torch.Tensor) -> list[str]:
    return words(make_tokenizer(51864).decode([t for t in tokens.tolist() if t < 50256]))


def test_listening_gives_what_it_gives_under_openai_whisper(
    model: Any, tiny_en: Whisper, tiny_en_steering: Steering, paused: np.ndarray
) -> None:
    expected = tiny_en_steering.listen(tiny_en_steering.prefix(tiny_en.encoder), paused)
    found = tiny_en_steering.listen(prefix_of(model.model.encoder, tiny_en_steering), paused)
    assert np.array_equal(found.evidence, expected.evidence)
    assert len(found.spans) == 2
    assert hf_fingerprint(model.model.encoder) == encoder_fingerprint(tiny_en.encoder)


@pytest.mark.parametrize(
    "options",
    [
        {"generate_kwargs": GREEDY},
        {"generate_kwargs": GREEDY, "return_timestamps": True},
        {"generate_kwargs": GREEDY, "return_timestamps": "word"},
        {"generate_kwargs": GREEDY, "return_timestamps": True, "chunk_length_s": 15, "batch_size": 4},
        {"generate_kwargs": {"num_beams": 2}},
        {"generate_kwargs": FALLBACK, "return_timestamps": True},
    ],
)
def test_a_pipeline_writes_every_word_in_its_place_and_no_other(
    steered: SteeredPipeline,
    paused: np.ndarray,
    places: list[tuple[float, float]],
    said: dict[str, list[str]],
    options: dict[str, Any],
) -> None:
    found = steered(paused, **options)
    differing = [a != b for a, b in zip(words(found["text"]), said[SHORT] + said[LONG], strict=True)]
    assert sum(differing) <= 2  # greedily and without timestamps it hears "can plan"; no word is missing
    assert [len(found["steering"]["spans"]), found["steering"]["artifact"]] == [2, "by-hand"]
    if "return_timestamps" in options:
        assert "".join(chunk["text"] for chunk in found["chunks"]) == found["text"]
        times = [chunk["timestamp"] for chunk in found["chunks"]]
        for start, end in times:
            assert any(a - 1 <= start <= end <= b + 1 for a, b in places), (start, end)
        assert min(chunk["steering"]["evidence"] for chunk in found["chunks"]) > 0


def test_silence_of_any_length_is_an_empty_result(steered: SteeredPipeline) -> None:
    silence = np.zeros(75 * RATE, np.float32)
    for options, expected in (({}, {"text": ""}), ({"return_timestamps": True}, {"text": "", "chunks": []})):
        found = steered(silence, **options)
        assert found.pop("steering")["spans"] == []
        assert found == expected


def test_inputs_of_every_kind_and_many_at_once(
    steered: SteeredPipeline, sentences: dict[str, np.ndarray], said: dict[str, list[str]]
) -> None:
    """Lists come back as lists, generators one by one; what was handed in stays as it was."""
    import io

    import soundfile

    pause = np.zeros(5 * RATE, np.float32)
    audio = np.concatenate([pause, sentences[SHORT], pause])
    file = io.BytesIO()
    soundfile.write(file, audio, RATE, format="WAV")
    given = {"array": np.repeat(audio, 2), "sampling_rate": 2 * RATE, "path": None}
    inputs = [audio, given, file.getvalue(), pause, torch.from_numpy(audio)]
    options: dict[str, Any] = {"generate_kwargs": GREEDY, "batch_size": 5}
    found = steered(inputs, **options)
    assert [words(each["text"]) for each in found] == [
        [] if each is pause else said[SHORT] for each in inputs
    ]
    assert set(given) == {"array", "sampling_rate", "path"}
    lazily = steered((each for each in inputs[:1]), **options)
    assert next(lazily) == found[0]


def test_speech_throughout_is_stocks_result(
    steered: SteeredPipeline, pipe: Any, model: Any, sentences: dict[str, np.ndarray]
) -> None:
    audio = sentences[SHORT]
    for options in ({}, {"return_timestamps": True}):
        found = steered(audio, generate_kwargs=GREEDY, **options)
        for chunk in found.get("chunks", []):
            del chunk["steering"]
        del found["steering"]
        assert found == pipe(audio, generate_kwargs=GREEDY, **options)
    inputs = features([audio])
    assert torch.equal(steered.steered.generate(**inputs), model.generate(**inputs))


@pytest.mark.parametrize("options", [{}, {"return_timestamps": True, "num_beams": 2}])
def test_generate_on_a_batch_of_windows(
    steered: SteeredPipeline,
    sentences: dict[str, np.ndarray],
    said: dict[str, list[str]],
    options: dict[str, Any],
) -> None:
    """One row in part speech, one without, one that is speech throughout."""
    quiet = np.zeros(5 * RATE, np.float32)
    part = np.concatenate([quiet, sentences[SHORT], quiet, sentences[SHORT]])
    found = steered.steered.generate(**features([part, quiet, sentences[SHORT]]), **options)
    assert [text_of(row) for row in found] == [said[SHORT] * 2, [], said[SHORT]]
    assert found.dtype == torch.long


def test_generate_on_a_long_recording(
    steered: SteeredPipeline,
    paused: np.ndarray,
    places: list[tuple[float, float]],
    said: dict[str, list[str]],
) -> None:
    inputs = features([paused], truncation=False, padding="longest")
    options: dict[str, Any] = {**FALLBACK, "condition_on_prev_tokens": True, "return_token_timestamps": True}
    found = steered.steered.generate(**inputs, return_timestamps=True, return_segments=True, **options)
    assert text_of(found["sequences"][0]) == said[SHORT] + said[LONG]
    (segments,) = found["segments"]
    for segment in segments:
        start, end = float(segment["start"]), float(segment["end"])
        assert any(a - 1 <= start < end <= b + 1 for a, b in places)
        assert start - 0.1 <= float(segment["token_timestamps"].min())
    assert found["token_timestamps"].shape == found["sequences"].shape
    assert float(found["token_timestamps"].max()) > places[-1][0]


def test_what_cannot_be_put_together_from_parts_is_refused(
    steered: SteeredPipeline, sentences: dict[str, np.ndarray]
) -> None:
    quiet = np.zeros(5 * RATE, np.float32)
    inputs = features([np.concatenate([quiet, sentences[SHORT]])])
    for options, named in (
        ({"return_dict_in_generate": True}, "return_dict_in_generate needs return_timestamps=True"),
        ({"num_return_sequences": 2}, "num_return_sequences"),
        ({"decoder_input_ids": torch.tensor([[50257]])}, "decoder_input_ids"),
    ):
        with pytest.raises(UsageError, match=named):
            steered.steered.generate(**inputs, **options)


def test_threads_do_not_mix_and_copies_are_apart(
    model: Any,
    tiny_en_steering: Steering,
    sentences: dict[str, np.ndarray],
) -> None:
    ours = wrap(model, tiny_en_steering)
    before, hooks = dict(vars(model)), [len(m._forward_hooks) for m in model.modules()]
    spoken, quiet = features([sentences[SHORT]]), features([np.zeros(5 * RATE, np.float32)])
    copied = copy.deepcopy(ours)
    assert copied.model is not model
    assert copied.prefix.encoder.conv1.weight is copied.model.model.encoder.conv1.weight
    jobs = [(ours, spoken), (ours, quiet), (copied, spoken), (ours, quiet)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda job: job[0].generate(**job[1], max_new_tokens=4), jobs))
    assert [len(text_of(row[0])) > 0 for row in found] == [True, False, True, False]
    assert dict(vars(model)) == before
    assert [len(m._forward_hooks) for m in model.modules()] == hooks
    copied.model.bfloat16()  # what listens goes with its model
    assert copied.generate(quiet["input_features"].bfloat16()).tolist() == [[50256]]
    assert ours.prefix.encoder.conv1.weight.dtype == torch.float32


@pytest.fixture
def steer_small(tiny_model: Whisper) -> Callable[[Any, float], SteeredModel]:
    """A random model steered in mode "steer", with a threshold."""

    def make(model: Any, threshold: float) -> SteeredModel:
        artifact = make_artifact(tiny_model.encoder, threshold=threshold)
        return wrap(model, Steering(artifact, mode="steer", method="mean-difference"))

    return make


@pytest.mark.parametrize("how", ["as it is", "compile", "compile in place"])
def test_windows_without_speech_are_edited_in_mode_steer(
    tiny_model: Whisper, steer_small: Callable[[Any, float], SteeredModel], how: str
) -> None:
    """Those with speech stay as they are, and nothing stays behind on the model."""
    mel = torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(0))
    model = build_hf(tiny_model)
    encoder = model.model.encoder
    expected = model.generate(mel, max_new_tokens=8)
    model.model.encoder = wrapped(encoder, how)
    before = model.model.encoder, encoder._compiled_call_impl
    assert torch.equal(steer_small(model, ALWAYS_SHUT).generate(mel, max_new_tokens=8), expected)
    found = steer_small(model, ALWAYS_OPEN).generate(mel, max_new_tokens=8)
    assert found.shape[0] == 2 and not torch.equal(found, expected)
    assert (model.model.encoder, encoder._compiled_call_impl) == before
    assert torch.equal(model.generate(mel, max_new_tokens=8), expected)


def test_all_parts_of_a_recording_are_in_one_language(multilingual_path: Path) -> None:
    """The one that the model hears in its speech, unless the user names another."""
    original = whisper.load_model(str(multilingual_path), device="cpu")
    seconds = np.arange(10 * RATE) / RATE
    tone = (0.2 * np.sin(2 * np.pi * 440 * seconds)).astype(np.float32)
    noise = (0.2 * np.random.default_rng(0).standard_normal(10 * RATE)).astype(np.float32)
    audio = np.concatenate([tone, noise, tone])
    model = build_hf(original)
    artifact = make_artifact(original.encoder, threshold=0.0)
    steering = Steering(artifact)
    prefix = prefix_of(model.model.encoder, steering)
    steps = normalise(steps_of(prefix(window_mel(audio)[None]))[0], torch.zeros(32))[0]
    ends = torch.stack([steps[:250].mean(dim=0), steps[250:500].mean(dim=0)])
    weight = ends[0] - ends[1]
    artifact.gate = Linear(torch.zeros(32), weight, -(ends @ weight).mean())
    heard = steering.listen(prefix, audio)
    assert not heard.whole and heard.spans
    ours = wrap(pipeline_of(model), steering)
    options: dict[str, Any] = {"return_language": True, "return_timestamps": True}
    found = ours(audio, generate_kwargs={**GREEDY, "max_new_tokens": 4}, **options)
    speech = np.concatenate([audio[round(s.start * RATE) : round(s.end * RATE)] for s in heard.spans])
    code = detected_language(model, window_mel(speech))
    name = whisper.tokenizer.LANGUAGES[code[2:-2]]
    assert {chunk["language"] for chunk in found["chunks"]} == {name}
    found = ours(audio, generate_kwargs={**GREEDY, "max_new_tokens": 4, "language": "fr"}, **options)
    assert {chunk["language"] for chunk in found["chunks"]} == {"french"}


def test_nothing_to_steer_gives_the_object_back(small: Any) -> None:
    assert wrap(small, None) is small
    assert wrap(small, mode="off") is small


def test_wrong_use_is_told(
    small: Any, tiny_model: Whisper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path))
    other = make_artifact(tiny_model.encoder, threshold=0.0)
    ours = wrap(pipeline_of(small), Steering(other))
    for given, error, named in (
        ("http://127.0.0.1:9/a.wav", AudioError, "check the address"),  # nobody listens there
        ({"raw": np.zeros(5)}, UsageError, "'sampling_rate'"),
        (str(tmp_path / "none.wav"), AudioError, "does not exist"),
    ):
        with pytest.raises(error, match=named):
            ours(given)
    with pytest.raises(UsageError, match="is no recording"):
        ours([3])
    with pytest.raises(UsageError, match="not to both"):
        wrap(small, Steering(other), mode="skip")
    with pytest.raises(UsageError, match="give a WhisperForConditionalGeneration"):
        wrap(torch.nn.Linear(1, 1))  # type: ignore[call-overload]
    with pytest.raises(ArtifactError, match="whisper-steer fit MODEL"):
        wrap(small)
    other.fingerprint, other.fingerprint_bfloat16 = "sha256:" + "0" * 64, None
    with pytest.raises(FingerprintError, match="fitted on another encoder"):
        wrap(small, Steering(other))
