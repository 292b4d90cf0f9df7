"""If these fail, speech is edited although somebody speaks, or what is no speech is left as it was."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from helpers import ALWAYS_OPEN, ALWAYS_SHUT, make_artifact, wrapped
from whisper.model import Whisper

from whisper_steer.encoders.prefix import Prefix
from whisper_steer.errors import ArtifactError, FingerprintError, UsageError
from whisper_steer.gate.conformal import loss_curve
from whisper_steer.models.hooks import read_activations, run
from whisper_steer.steer.methods import METHODS
from whisper_steer.steer.steering import DEFAULT_MAX_SUPPRESSED_SPEECH, Steering, steering_for


@pytest.fixture(scope="module")
def mels() -> torch.Tensor:
    return torch.randn(3, 80, 3000, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def edited(steering: Steering, encoder: Any, mels: torch.Tensor) -> torch.Tensor:
    with steering.editing(encoder):
        return run(encoder, mels)


@pytest.mark.parametrize("method", METHODS)
@torch.no_grad()
def test_windows_with_speech_are_stocks_to_the_bit(
    tiny_model: Whisper, mels: torch.Tensor, method: str
) -> None:
    steering = Steering(make_artifact(tiny_model.encoder, threshold=ALWAYS_SHUT), mode="steer", method=method)
    assert torch.equal(edited(steering, tiny_model.encoder, mels), tiny_model.encoder(mels))


@pytest.mark.parametrize("method", METHODS)
@torch.no_grad()
def test_windows_without_speech_get_what_the_method_says(
    tiny_model: Whisper, mels: torch.Tensor, method: str
) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN)
    steering = Steering(artifact, mode="steer", method=method, strength=0.8)
    hidden = read_activations(tiny_model.encoder, mels, ["blocks.1"])["blocks.1"]
    expected = tiny_model.encoder.ln_post(hidden + METHODS[method](hidden, artifact.edits, 0.8))
    found = edited(steering, tiny_model.encoder, mels)
    torch.testing.assert_close(found, expected)
    assert not torch.allclose(found, tiny_model.encoder(mels))
    assert not any(module._forward_hooks for module in tiny_model.encoder.modules())


@torch.no_grad()
def test_in_a_batch_each_window_is_judged_for_itself(tiny_model: Whisper, mels: torch.Tensor) -> None:
    probe = make_artifact(tiny_model.encoder, threshold=0.0)
    hidden = read_activations(tiny_model.encoder, mels, ["blocks.1"])["blocks.1"]
    strongest = probe.gate.evidence(hidden).amax(dim=1)
    middle = float(strongest.sort().values[1])
    steering = Steering(make_artifact(tiny_model.encoder, threshold=middle), mode="steer")
    unspoken = steering.unspoken(hidden)
    assert torch.equal(unspoken, strongest < steering.threshold)
    assert 0 < int(unspoken.sum()) < 3
    same = [
        torch.equal(a, b)
        for a, b in zip(edited(steering, tiny_model.encoder, mels), tiny_model.encoder(mels), strict=True)
    ]
    assert same == (~unspoken).tolist()


@torch.no_grad()
def test_the_gate_may_read_before_the_edits(tiny_model: Whisper, mels: torch.Tensor) -> None:
    for threshold, same in ((ALWAYS_SHUT, True), (ALWAYS_OPEN, False)):
        artifact = make_artifact(tiny_model.encoder, threshold=threshold, hook_point="ln_post")
        artifact.gate_point = "blocks.0"
        steering = Steering(artifact, mode="steer", method="mean-difference")
        assert steering.prefix(tiny_model.encoder).n_blocks == 1
        found = edited(steering, tiny_model.encoder, mels)
        assert torch.equal(found, tiny_model.encoder(mels)) == same


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
    expected, stock = edited(steering, encoder, mels), encoder(mels)
    encoder = wrapped(encoder, wrap)
    assert torch.equal(encoder(mels), stock)  # compiled now, before the hook comes
    assert torch.equal(edited(steering, encoder, mels), expected)
    assert not torch.allclose(expected, stock)
    assert torch.equal(encoder(mels), stock)


def test_a_window_that_cannot_be_judged_is_stocks(tiny_model: Whisper, mels: torch.Tensor) -> None:
    """fp16 overflows on some graphics cards: such a window must not pass for one in which nobody speaks."""
    steering = Steering(make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN), mode="steer")
    hidden = read_activations(tiny_model.encoder, mels, ["blocks.1"])["blocks.1"]
    for frame, value in ((700, torch.nan), (3, torch.inf), (1499, -torch.inf)):
        broken = hidden.clone()
        broken[1, frame, 5] = value
        assert steering.unspoken(broken).tolist() == [True, False, True]


def test_edits_keep_the_dtype_and_what_they_do_not_change(tiny_model: Whisper) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN)
    hidden = torch.randn(1, 10, 32, generator=torch.Generator().manual_seed(0)).half()
    found = Steering(artifact, mode="steer", method="clamp").edit(hidden)
    assert found.dtype == torch.float16 and not torch.equal(found, hidden)
    nothing = Steering(artifact, mode="steer", method="clamp", strength=0.0)
    assert torch.equal(nothing.edit(hidden), hidden)


@torch.no_grad()
def test_another_thread_that_listens_meanwhile_decides_nothing_here(
    tiny_model: Whisper, mels: torch.Tensor
) -> None:
    """It runs the same blocks, on which the hooks sit: its windows must not be taken for ours, nor be edited."""
    artifact = make_artifact(tiny_model.encoder, threshold=ALWAYS_OPEN)
    artifact.gate_point = "blocks.0"
    steering = Steering(artifact, mode="steer")
    alone = edited(steering, tiny_model.encoder, mels)
    prefix = Prefix(tiny_model.encoder, "blocks.1")
    unedited, heard, here = prefix(mels[:1]), [], threading.get_ident()

    def meanwhile(*_: Any) -> None:
        if threading.get_ident() == here:
            other = threading.Thread(target=lambda: heard.append(prefix(mels[:1])))
            other.start()
            other.join()

    with steering.editing(tiny_model.encoder):
        between = tiny_model.encoder.blocks[0].register_forward_hook(meanwhile)
        try:
            found = run(tiny_model.encoder, mels)
        finally:
            between.remove()
    assert torch.equal(found, alone)
    assert torch.equal(heard[0], unedited)


def test_a_stricter_promise_lowers_the_threshold(tiny_model: Whisper) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=0.0)
    rng = np.random.default_rng(0)
    heard = [rng.normal(rng.normal(4, 2), 1, 50).astype(np.float32) for _ in range(400)]
    artifact.calibration.curve = loss_curve(heard)
    artifact.calibration.nonspeech = torch.full((5,), -100.0)
    strict, usual, lax = (Steering(artifact, max_suppressed_speech=share) for share in (0.0026, None, 0.05))
    assert strict.threshold < usual.threshold < lax.threshold
    assert usual.promise == DEFAULT_MAX_SUPPRESSED_SPEECH
    assert usual.describe()["threshold"] == usual.threshold


def test_listening_is_by_the_gate_and_its_threshold(tiny_model: Whisper) -> None:
    audio = np.random.default_rng(0).standard_normal(16000 * 5).astype(np.float32) * 0.1
    for threshold, whole in ((ALWAYS_SHUT, True), (ALWAYS_OPEN, False)):
        steering = Steering(make_artifact(tiny_model.encoder, threshold=threshold))
        hearing = steering.listen(steering.prefix(tiny_model.encoder), audio)
        assert (hearing.whole, hearing.threshold, len(hearing.evidence)) == (whole, threshold, 125)


def test_unknown_options_are_usage_errors(tiny_model: Whisper) -> None:
    artifact = make_artifact(tiny_model.encoder, threshold=0.0)
    for options in ({"mode": "loud"}, {"method": "magic"}, {"max_suppressed_speech": 0.0001}):
        with pytest.raises(UsageError):
            Steering(artifact, **options)


def test_what_is_given_to_a_runtime_is_checked_against_its_model(
    tiny_model: Whisper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_STEER_CACHE", str(tmp_path / "cache"))
    artifact = make_artifact(tiny_model.encoder, threshold=0.0)
    folder = artifact.save(tmp_path / "cache" / "steering" / "mine")

    def mine() -> str:
        return artifact.fingerprint

    def other() -> str:
        return "sha256:" + "0" * 64

    for chosen in ("auto", folder, "mine", Steering(artifact)):
        found = steering_for(mine, chosen)
        assert found is not None and found.artifact.fingerprint == artifact.fingerprint
    for chosen in (folder, "mine", Steering(artifact)):
        with pytest.raises(FingerprintError):
            steering_for(other, chosen)
    with pytest.raises(ArtifactError, match="whisper-steer fit"):
        steering_for(other, "auto")
    with pytest.raises(UsageError, match="not to both"):
        steering_for(mine, Steering(artifact), mode="skip")
    for off in (None, Steering(artifact, mode="off")):
        assert steering_for(other, off) is None
    assert steering_for(other, folder, mode="off") is None
