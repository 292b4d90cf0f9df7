"""transformers users keep their model, their pipeline and their text; only what nobody said goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import ALWAYS_OPEN, ALWAYS_SHUT, make_artifact, wrapped
from whisper.model import Whisper

import whisper_steer
from whisper_steer import Steering
from whisper_steer.encoders import hooks
from whisper_steer.encoders.fingerprint import encoder_fingerprint
from whisper_steer.errors import ArtifactError, FingerprintError, UsageError
from whisper_steer.gate.kinds import Gate
from whisper_steer.runtimes.transformers import hf_fingerprint
from whisper_steer.steer.artifact import Artifact

pytest.importorskip("transformers")

EOT = 50256
POINTS = ["blocks.0", "blocks.1", "ln_post"]


@pytest.fixture(scope="module")
def model(tiny_model: Whisper) -> Any:
    from whisper_steer.formats.hf import build_hf

    return build_hf(tiny_model)


@pytest.fixture(scope="module")
def mel() -> torch.Tensor:
    """Two windows of noise."""
    return torch.randn(2, 80, 3000, generator=torch.Generator().manual_seed(0))


def artifact_for(model: Whisper, threshold: float, hook_point: str = "blocks.1") -> Artifact:
    artifact = make_artifact(model.encoder, threshold=threshold, hook_point=hook_point)
    weight = torch.randn(32, generator=torch.Generator().manual_seed(2))
    artifact.gate = Gate(weight, torch.tensor(0.0), torch.zeros(32))
    return artifact


def test_activations_and_fingerprint_are_those_of_openai_whisper(
    model: Any, tiny_model: Whisper, mel: Any
) -> None:
    points = hooks.hook_points(tiny_model.encoder)
    assert hooks.hook_points(model.model.encoder) == points
    ours = hooks.read_activations(tiny_model.encoder, mel, points)
    theirs = hooks.read_activations(model.model.encoder, mel, points)
    for point in points:
        assert torch.allclose(ours[point], theirs[point], rtol=1e-4, atol=1e-4), point
    assert hf_fingerprint(model.model.encoder) == encoder_fingerprint(tiny_model.encoder)
    assert hf_fingerprint(model.half().model.encoder) == encoder_fingerprint(tiny_model.encoder)
    model.float()


@pytest.mark.parametrize(
    ("point", "mode", "options"),
    [
        ("blocks.0", "skip", {}),
        ("blocks.1", "steer", {}),
        ("ln_post", "steer", {"num_beams": 3}),
        ("ln_post", "skip", {"return_timestamps": True}),
        ("blocks.1", "steer", {"return_timestamps": True}),
    ],
)
def test_windows_with_speech_come_out_as_stock_writes_them(
    model: Any, tiny_model: Whisper, mel: Any, point: str, mode: Any, options: dict[str, Any]
) -> None:
    expected = model.generate(mel, max_new_tokens=8, **options)
    with whisper_steer.attach(
        model, Steering(artifact_for(tiny_model, ALWAYS_SHUT, point), mode=mode)
    ) as handle:
        found = model.generate(mel, max_new_tokens=8, **options)
    assert torch.equal(found, expected)
    assert {d.action for d in handle.decisions} == {"untouched"}
    assert len(handle.decisions) >= 2


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"return_timestamps": True}])
def test_windows_without_speech_end_at_once_and_the_others_stay(
    model: Any, tiny_model: Whisper, mel: Any, options: dict[str, Any]
) -> None:
    with whisper_steer.attach(model, Steering(artifact_for(tiny_model, ALWAYS_SHUT))) as handle:
        model.generate(mel, max_new_tokens=8)
    low, high = sorted(d.evidence for d in handle.decisions)
    spoken = int(handle.decisions[1].evidence == high)
    expected = model.generate(mel[spoken : spoken + 1], max_new_tokens=8, **options)[0]
    with whisper_steer.attach(model, Steering(artifact_for(tiny_model, (low + high) / 2))) as handle:
        found = model.generate(mel, max_new_tokens=8, **options)
    assert [d.action for d in handle.decisions][1 - spoken] == "skipped"
    assert torch.equal(found[spoken][: len(expected)], expected)
    assert _text(found[1 - spoken]) == []
    assert len(_text(expected)) > 0


def test_the_gate_decides_as_under_openai_whisper(model: Any, tiny_model: Whisper, mel: Any) -> None:
    for point in POINTS:
        steering = Steering(artifact_for(tiny_model, ALWAYS_SHUT, point))
        _, expected = steering.encode(tiny_model.encoder, mel)
        with whisper_steer.attach(model, steering) as handle, torch.no_grad():
            model.model.encoder(mel)
        assert [d.evidence for d in handle.decisions] == pytest.approx(
            [d.evidence for d in expected], abs=1e-3
        )


def test_steered_features_are_those_of_openai_whisper(model: Any, tiny_model: Whisper, mel: Any) -> None:
    for point in POINTS:
        steering = Steering(
            artifact_for(tiny_model, ALWAYS_OPEN, point), mode="steer", method="mean-difference"
        )
        expected, _ = steering.encode(tiny_model.encoder, mel)
        with whisper_steer.attach(model, steering), torch.no_grad():
            found = model.model.encoder(mel).last_hidden_state
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-3)
        assert (expected - tiny_model.encoder(mel)).abs().max() > 0.1


def test_a_steered_window_may_come_out_empty(model: Any, tiny_model: Whisper, mel: Any) -> None:
    """Stock bans end-of-text as the first token: with only it and a word to choose from, stock must write."""
    steering = Steering(artifact_for(tiny_model, ALWAYS_OPEN), mode="steer", method="mean-difference")
    for word in range(300, 400):
        only = {"suppress_tokens": [i for i in range(51864) if i not in (EOT, word)], "max_new_tokens": 3}
        stock = model.generate(mel[:1], **only)
        with whisper_steer.attach(model, steering):
            found = model.generate(mel[:1], **only)
        assert word in stock[0].tolist()
        if word not in found[0].tolist():
            break
    assert _text(found[0]) == []


def test_long_recordings_through_the_pipeline(model: Any, tiny_model: Whisper, tmp_path_factory: Any) -> None:
    from transformers import AutomaticSpeechRecognitionPipeline, WhisperFeatureExtractor, WhisperTokenizerFast

    from whisper_steer.formats.hf import save_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(tiny_model, folder)
    pipe = AutomaticSpeechRecognitionPipeline(
        model=model,
        tokenizer=WhisperTokenizerFast.from_pretrained(folder),
        feature_extractor=WhisperFeatureExtractor(),
    )
    audio = 0.1 * np.random.default_rng(0).standard_normal(45 * 16000).astype(np.float32)
    options: dict[str, Any] = {"generate_kwargs": {"max_new_tokens": 6}, "return_timestamps": True}
    expected = pipe(audio.copy(), **options)
    assert expected["text"].strip()
    with whisper_steer.attach(pipe.model, Steering(artifact_for(tiny_model, ALWAYS_SHUT))):
        assert pipe(audio.copy(), **options) == expected
    with whisper_steer.attach(pipe.model, Steering(artifact_for(tiny_model, ALWAYS_OPEN))) as handle:
        assert pipe(audio.copy(), **options)["text"].strip() == ""
    assert [d.action for d in handle.decisions] == ["skipped", "skipped"]
    assert pipe(audio.copy(), **options) == expected


def test_temperature_fallback_leaves_silence_alone(model: Any, tiny_model: Whisper, mel: Any) -> None:
    with whisper_steer.attach(model, Steering(artifact_for(tiny_model, ALWAYS_OPEN))) as handle:
        found = model.generate(
            mel,
            max_new_tokens=6,
            temperature=(0.0, 0.4, 0.8),
            logprob_threshold=-1.0,
            compression_ratio_threshold=1.35,
            no_speech_threshold=0.6,
            return_timestamps=True,
        )
    assert _text(found[0]) == [] and _text(found[1]) == []
    assert len(handle.decisions) == 2


@pytest.mark.parametrize("point", POINTS)
def test_a_bfloat16_copy_is_recognised_and_judged_alike(
    tiny_model: Whisper, mel: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    from whisper_steer.formats.hf import build_hf

    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path))
    artifact = artifact_for(tiny_model, ALWAYS_OPEN, point)
    artifact.save(tmp_path / "steering" / "mine")
    _, expected = Steering(artifact).encode(tiny_model.encoder, mel)
    model = build_hf(tiny_model).to(torch.bfloat16)
    with whisper_steer.attach(model) as handle:
        found = model.generate(mel.bfloat16(), max_new_tokens=4)
    assert [d.evidence for d in handle.decisions] == pytest.approx([d.evidence for d in expected], abs=0.1)
    assert _text(found[0]) == _text(found[1]) == []


@pytest.mark.parametrize("wrap", ["compile", "compile in place", "whole"])
def test_a_compiled_model_is_steered_until_the_handle_is_removed(
    tiny_model: Whisper, mel: Any, wrap: str
) -> None:
    from whisper_steer.formats.hf import build_hf

    model = build_hf(tiny_model)
    encoder = model.model.encoder
    if wrap == "whole":
        model = torch.compile(model, backend="eager")
    else:
        model.model.encoder = wrapped(encoder, wrap)
    expected = model.generate(mel, max_new_tokens=4)  # compiled now, before the hook comes
    before = model.model.encoder, encoder._compiled_call_impl
    for point in POINTS[1:]:
        handle = whisper_steer.attach(model, Steering(artifact_for(tiny_model, ALWAYS_OPEN, point)))
        found = model.generate(mel, max_new_tokens=4)
        assert _text(found[0]) == _text(found[1]) == []
        assert [d.action for d in handle.decisions] == ["skipped", "skipped"]
        handle.remove()
        handle.remove()
        assert (model.model.encoder, encoder._compiled_call_impl) == before
        assert torch.equal(model.generate(mel, max_new_tokens=4), expected)


def test_removal_leaves_the_model_as_it_was(model: Any, tiny_model: Whisper, mel: Any) -> None:
    before, expected = dict(vars(model)), model.generate(mel, max_new_tokens=4)
    handle = whisper_steer.attach(model, Steering(artifact_for(tiny_model, ALWAYS_OPEN)))
    with pytest.raises(UsageError, match="steered already"):
        whisper_steer.attach(model, Steering(artifact_for(tiny_model, ALWAYS_OPEN)))
    handle.remove()
    handle.remove()
    assert dict(vars(model)) == before
    assert torch.equal(model.generate(mel, max_new_tokens=4), expected)


def test_what_cannot_be_done_is_said(model: Any, tiny_model: Whisper) -> None:
    other = artifact_for(tiny_model, 0.0)
    other.fingerprint = "sha256:" + "0" * 64
    with pytest.raises(FingerprintError, match="fitted on another encoder"):
        whisper_steer.attach(model, Steering(other))
    with pytest.raises(ArtifactError, match="whisper-steer fit MODEL"):
        whisper_steer.attach(model)
    with pytest.raises(UsageError, match="pass a WhisperForConditionalGeneration"):
        whisper_steer.attach(torch.nn.Linear(1, 1))  # type: ignore[arg-type]


def _text(tokens: torch.Tensor) -> list[int]:
    return [t for t in tokens.tolist() if t < EOT]
