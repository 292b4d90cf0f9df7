"""If these fail, speech is edited although the gate is shut, or non-speech is left as it was."""

from pathlib import Path

import pytest
import torch
import whisper
from helpers import ALWAYS_OPEN, ALWAYS_SHUT, make_artifact, wrapped
from whisper.model import Whisper

from whisper_steer.encoders.hooks import read_activations
from whisper_steer.errors import UsageError
from whisper_steer.gate.kinds import pool
from whisper_steer.steer.methods import METHODS
from whisper_steer.steer.steering import SPEECH_MARGIN_FRAMES, Steering


@pytest.fixture(scope="module")
def mels() -> torch.Tensor:
    return torch.randn(3, 80, 3000, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("mode", ["skip", "steer"])
@pytest.mark.parametrize("method", METHODS)
@torch.no_grad()
def test_a_shut_gate_leaves_every_bit(
    tiny_model: Whisper, mels: torch.Tensor, mode: str, method: str
) -> None:
    steering = Steering(make_artifact(tiny_model.encoder, threshold=ALWAYS_SHUT), mode=mode, method=method)
    features, decisions = steering.encode(tiny_model.encoder, mels)
    assert torch.equal(features, tiny_model.encoder(mels))
    assert [d.action for d in decisions] == ["untouched"] * 3


@torch.no_grad()
def test_an_open_gate_adds_what_the_method_says(tiny_model: Whisper, mels: torch.Tensor) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN)
    steering = Steering(artifact, mode="steer", method="clamp", strength=0.8)
    features, decisions = steering.encode(tiny_model.encoder, mels)
    hidden = read_activations(tiny_model.encoder, mels, ["blocks.1"])["blocks.1"]
    expected = tiny_model.encoder.ln_post(hidden + METHODS["clamp"](hidden, artifact.edits, 0.8))
    torch.testing.assert_close(features, expected)
    assert not torch.allclose(features, tiny_model.encoder(mels))
    assert [d.action for d in decisions] == ["steered"] * 3


@torch.no_grad()
def test_in_a_batch_each_window_is_judged_for_itself(tiny_model: Whisper, mels: torch.Tensor) -> None:
    probe = Steering(make_artifact(tiny_model.encoder, threshold=0.0), mode="steer")
    evidence = [d.evidence for d in probe.encode(tiny_model.encoder, mels)[1]]
    middle = sorted(evidence)[1]
    steering = Steering(make_artifact(tiny_model.encoder, threshold=middle), mode="steer")
    features, decisions = steering.encode(tiny_model.encoder, mels)
    stock = tiny_model.encoder(mels)
    for row, decision in enumerate(decisions):
        assert (decision.action == "untouched") == (evidence[row] >= middle)
        assert torch.equal(features[row], stock[row]) == (decision.action == "untouched")


@torch.no_grad()
def test_evidence_is_the_gates_pooled_logit(tiny_model: Whisper, mels: torch.Tensor) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=0.0)
    hidden = read_activations(tiny_model.encoder, mels, ["blocks.1"])["blocks.1"]
    z, _ = artifact.gate.latents.encode(hidden)
    expected = pool(z @ artifact.gate.weight + artifact.gate.bias)
    found = [d.evidence for d in Steering(artifact).encode(tiny_model.encoder, mels)[1]]
    torch.testing.assert_close(torch.tensor(found), expected)


@torch.no_grad()
def test_scope_frame_keeps_the_frames_near_speech(tiny_model: Whisper, mels: torch.Tensor) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=0.0)
    hidden = read_activations(tiny_model.encoder, mels[:1], ["blocks.1"])["blocks.1"]
    frames = artifact.gate.frame_evidence(hidden)[0]
    means = frames.unfold(0, 10, 1).mean(dim=1)
    threshold = float(means.max()) - 1e-4  # one place in the window counts as speech
    artifact = make_artifact(tiny_model.encoder, threshold=threshold)
    edited, decisions = Steering(artifact, mode="steer", scope="frame", method="mean-difference").edit(hidden)
    kept = (edited[0] == hidden[0]).all(dim=1).nonzero()[:, 0]
    first = int(means.argmax())
    assert decisions[0].action == "untouched"
    assert kept.tolist() == list(
        range(max(0, first - SPEECH_MARGIN_FRAMES), min(1500, first + SPEECH_MARGIN_FRAMES + 1))
    )


@torch.no_grad()
def test_ungated_steers_speech_too(tiny_model: Whisper, mels: torch.Tensor) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=ALWAYS_SHUT)
    _, decisions = Steering(artifact, mode="steer", gated=False).encode(tiny_model.encoder, mels)
    assert [d.action for d in decisions] == ["steered"] * 3


@pytest.mark.parametrize("wrap", ["compile", "compile in place", "compile blocks", "data parallel"])
@pytest.mark.parametrize("point", ["blocks.0", "blocks.1", "ln_post"])
@torch.no_grad()
def test_a_compiled_encoder_is_judged_and_edited_too(
    tiny_path: Path, mels: torch.Tensor, wrap: str, point: str
) -> None:
    """Code that was compiled before the hook came does not call it."""
    encoder = whisper.load_model(str(tiny_path), device="cpu").encoder
    artifact = make_artifact(encoder, threshold=ALWAYS_OPEN, hook_point=point)
    steering = Steering(artifact, mode="steer", method="mean-difference")
    expected, judged = steering.encode(encoder, mels)
    stock = encoder(mels)
    encoder = wrapped(encoder, wrap)
    assert torch.equal(encoder(mels), stock)  # compiled now, before the hook comes
    features, decisions = steering.encode(encoder, mels)
    assert decisions == judged
    assert torch.equal(features, expected)
    assert not torch.allclose(features, stock)
    shut = Steering(make_artifact(encoder, threshold=ALWAYS_SHUT, hook_point=point))
    assert torch.equal(shut.encode(encoder, mels)[0], stock)
    assert torch.equal(encoder(mels), stock)


def test_unknown_options_are_usage_errors(tiny_model: Whisper) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=0.0)
    for options in (
        {"mode": "loud"},
        {"method": "magic"},
        {"scope": "word"},
        {"max_suppressed_speech": 0.0001},
    ):
        with pytest.raises(UsageError):
            Steering(artifact, **options)


BROKEN_FRAMES = {"nan": (700, float("nan")), "inf": (3, float("inf")), "-inf": (1499, -float("inf"))}


@pytest.mark.parametrize("broken", BROKEN_FRAMES)
@pytest.mark.parametrize("scope", ["window", "segment", "frame"])
@pytest.mark.parametrize("mode", ["skip", "steer"])
@torch.no_grad()
def test_a_window_that_cannot_be_judged_is_stocks(
    tiny_model: Whisper, mels: torch.Tensor, broken: str, scope: str, mode: str
) -> None:
    """fp16 overflows on some graphics cards: such a window must not pass for one in which nobody speaks."""
    artifact = make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN)
    hidden = read_activations(tiny_model.encoder, mels, ["blocks.1"])["blocks.1"]
    frame, value = BROKEN_FRAMES[broken]
    hidden[1, frame, 5] = value
    edited, decisions = Steering(artifact, mode=mode, scope=scope).edit(hidden)
    acting = "steered" if mode == "steer" else "skipped"
    assert [d.action for d in decisions] == [acting, "untouched", acting]
    assert decisions[1].heard(0.0, 30.0)
    assert decisions[1].heard(10.0, 10.1)
    if mode == "steer":
        assert torch.equal(edited[1].nan_to_num(7, 8, 9), hidden[1].nan_to_num(7, 8, 9))
        assert edited[[0, 2]].isfinite().all()
