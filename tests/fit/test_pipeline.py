"""If these fail, `whisper-steer fit` does not end in an artifact that loads and steers the model it was made for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.data.pack import PACK
from whisper_steer.data.splits import select
from whisper_steer.encoders.fingerprint import bfloat16_fingerprint, encoder_fingerprint
from whisper_steer.encoders.record import Activations
from whisper_steer.errors import FitError
from whisper_steer.data import labels as labels_of
from whisper_steer.fit.fit_gate import fit_gates, window_scores, with_context
from whisper_steer.fit.pipeline import Plan, compare, fit, held_out
from whisper_steer.gate.kinds import Gate
from whisper_steer.sae.model import Latents
from whisper_steer.sae.train import Training
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.steering import Steering

PLAN = Plan(
    speech_windows=4,
    nonspeech_windows=4,
    calibration_speech=4,
    calibration_nonspeech=4,
    hard_windows=3,
    strength_windows=2,
    expansion=2,
    k=4,
    training=Training(steps=20, batch=256),
    conv_steps=20,
)


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    rng = np.random.default_rng(0)
    seconds = np.arange(24000) / 16000
    made = []
    for split in ("fit", "choose"):
        for i in range(8):
            buzz = np.sign(np.sin(2 * np.pi * (110 + 20 * i) * seconds)) * (
                np.sin(2 * np.pi * 4 * seconds) > 0
            )
            made.append(Clip("speech", split, f"{split}{i}", (0.2 * buzz).astype(np.float32), "buzz"))
            hiss = rng.normal(size=24000).astype(np.float32) * 0.05
            made.append(Clip("nonspeech", split, f"{split}{i}", hiss, "hiss"))
    return made


@pytest.fixture(autouse=True)
def buzz_is_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """No speech may be shipped with the tests, so what Silero finds in it is replaced: loud is speech."""

    def loud(samples: np.ndarray) -> np.ndarray:
        n = -(-len(samples) // 320)
        padded = np.pad(samples, (0, n * 320 - len(samples))).reshape(n, 320)
        return np.abs(padded).max(axis=1) > 0.05

    monkeypatch.setattr(labels_of, "speech_frames", loud)


def test_an_artifact_comes_out_whole(tiny_model: Whisper, clips: list[Clip], tmp_path: Path) -> None:
    artifact = fit(tiny_model, clips, tmp_path / "work", name="tiny", plan=PLAN)
    loaded = Artifact.load(artifact.save(tmp_path / "artifact"))
    loaded.check(encoder_fingerprint(tiny_model.encoder))
    loaded.check(bfloat16_fingerprint(tiny_model.encoder))
    assert loaded.hook_point == "ln_post"
    assert len(loaded.speech_scores) == 4
    assert loaded.gate.kind == min(loaded.info["gates_compared"].items(), key=lambda row: row[1]["cost"])[0]
    assert loaded.info["selected_by"] == "effect on the decoder"
    effects = [row["effect"] for row in loaded.info["latents"]]
    assert effects == sorted(effects, reverse=True)
    mel = torch.randn(1, 80, 3000)
    for mode in ("skip", "steer"):
        _, decisions = Steering(loaded, mode=mode, max_suppressed_speech=0.5).encode(tiny_model.encoder, mel)
        assert np.isfinite(decisions[0].evidence)


def test_a_second_run_in_the_same_folder_is_the_same_and_one_on_other_data_is_its_own(
    tiny_model: Whisper, clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an artifact's gate is of recordings that its card does not name."""
    monkeypatch.setattr("whisper_steer.fit.strengths.choose", lambda *_: ({}, None))  # slow, and not kept
    quiet = [replace(clip, source=clip.samples() * np.float32(0.7)) for clip in clips]
    runs = {"first": (clips, "shared"), "other": (quiet, "shared"), "again": (clips, "shared")}
    runs["other, alone"] = (quiet, "alone")
    made = {
        run: fit(tiny_model, data, tmp_path / folder, name="tiny", plan=PLAN)
        for run, (data, folder) in runs.items()
    }
    digests = {run: artifact.digest() for run, artifact in made.items()}
    assert digests["first"] == digests["again"] != digests["other"]
    assert digests["other"] == digests["other, alone"]


def test_a_missing_split_is_told(tiny_model: Whisper, clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(FitError, match="no nonspeech recordings in the choose split"):
        fit(
            tiny_model, [c for c in clips if (c.kind, c.split) != ("nonspeech", "choose")], tmp_path, name="x"
        )


def test_a_fit_from_the_pack_takes_its_own_gate(
    tiny_model: Whisper, clips: list[Clip], tmp_path: Path
) -> None:
    """It must not ship the gate that is best on sounds as easy as the pack's."""
    from_pack = [replace(clip, dataset=PACK) for clip in clips]
    artifact = fit(tiny_model, from_pack, tmp_path, name="tiny", plan=PLAN)
    assert artifact.gate.kind == "dense + context"
    assert artifact.info["gates_compared"] == {}


def test_clips_that_choose_do_not_calibrate(clips: list[Clip]) -> None:
    """Else the promise is that of the best of five gates on its own clips: twice what it says."""
    speech, nonspeech = (select(clips, kind, "choose") for kind in ("speech", "nonspeech"))
    choosing, calibrating = held_out(speech, nonspeech, PLAN, np.random.default_rng(0))
    assert {c.kind for c in choosing} == {c.kind for c in calibrating} == {"speech", "nonspeech"}
    for kind in ("speech", "nonspeech"):
        groups = [{c.group for c in part if c.kind == kind} for part in (choosing, calibrating)]
        assert groups[0].isdisjoint(groups[1])
    lone = [replace(clip, group="one") for clip in speech]
    choosing, calibrating = held_out(lone, nonspeech, PLAN, np.random.default_rng(0))
    assert choosing == [] and len(calibrating) == 8


def test_every_gate_separates_what_its_features_separate(tmp_path: Path) -> None:
    """Speech frames shifted along one direction: each gate must find it, on windows it has not seen, and be kept."""
    rng = np.random.default_rng(1)

    def made(n: int) -> Activations:
        hidden = rng.normal(size=(n, 1500, 8)).astype(np.float16)
        labels = np.zeros((n, 1500), np.int8)
        speech = np.arange(n) % 2 == 0
        for i in np.flatnonzero(speech):
            start = int(rng.integers(0, 1450))
            labels[i, start : start + 40] = labels_of.SPEECH
            hidden[i, start : start + 40, 3] += 4
        return Activations(hidden, labels, np.full(n, 1500), speech, ["as recorded"] * n)

    train, test = made(16), made(16)
    latents = Latents(torch.zeros(8), torch.eye(8), torch.zeros(8), torch.tensor(0.0), torch.eye(8))
    gates = fit_gates(train, torch.zeros(8), latents, conv_steps=60)
    kinds = {"sae", "dense", "sae + context", "dense + context", "conv + context", "conv + dense + context"}
    assert {name: gate.kind for name, gate in gates.items()} == {name: name for name in kinds}
    frames = test.frames(0)[None]
    parts = [gates[name].frame_evidence(frames) for name in ("conv + context", "dense + context")]
    mean = gates["conv + dense + context"].frame_evidence(frames)
    assert torch.allclose(mean, sum(parts) / 2, atol=1e-4)
    for name, gate in gates.items():
        scores = window_scores(gate, test)
        assert float(scores[test.speech].min()) > float(scores[~test.speech].max()), name


def test_the_context_tells_a_bark_from_a_word() -> None:
    """0.2 s that look the same in speech and in noise: what lies around them must decide."""
    rng = np.random.default_rng(2)

    def made(n: int) -> Activations:
        hidden = rng.normal(size=(n, 1500, 8)).astype(np.float16)
        labels = np.zeros((n, 1500), np.int8)
        speech = np.arange(n) % 2 == 0
        for i in range(n):
            start = int(rng.integers(60, 1400))
            hidden[i, start : start + 10, 3] += 6
            if speech[i]:
                labels[i, start : start + 10] = labels_of.SPEECH
                hidden[i, start - 50 : start, 5] += 1
                hidden[i, start + 10 : start + 60, 5] += 1
        return Activations(hidden, labels, np.full(n, 1500), speech, ["as recorded"] * n)

    train, test = made(24), made(24)
    speech = torch.from_numpy(test.speech)
    plain = Gate(torch.eye(8)[3], torch.tensor(0.0), torch.zeros(8))

    def margin(gate: Gate) -> float:
        scores = window_scores(gate, test)
        return float(scores[speech].min() - scores[~speech].max())

    assert margin(plain) < 0 < margin(with_context(plain, train))


def test_gates_are_compared_at_their_best_threshold() -> None:
    """By counting: 2.5 leaks one of four, loses no speech and one hard window of four; nothing else is as good."""
    frames = {"speech": [3, 5, 6, 9], "nonspeech": [-1, 0, 2, 8], "hard": [1, 4, 4, 7]}

    def made(*kinds: str) -> Activations:
        values = [value for kind in kinds for value in frames[kind]]
        hidden = np.zeros((len(values), 1500, 2), np.float32)
        hidden[:, :, 1] = 1.0
        hidden[:, 700:720, 0] = np.array(values, np.float32)[:, None]
        speech = np.array([kind != "nonspeech" for kind in kinds for _ in frames[kind]])
        labels = np.zeros((len(values), 1500), np.int8)
        return Activations(hidden, labels, np.full(len(values), 1500), speech, ["as recorded"] * len(values))

    gate = Gate(torch.tensor([1.0, 0.0]), torch.tensor(0.0), torch.zeros(2))
    found = compare(gate, made("nonspeech", "speech"), made("hard"), None)
    assert (found["leaked"], found["suppressed"], found["suppressed_hard"]) == (0.25, 0.0, 0.25)
    assert found["cost"] == pytest.approx(0.5)
    found = compare(gate, made("nonspeech", "speech"), made("hard"), made("nonspeech"))
    assert (found["leaked_voice"], found["cost"]) == (0.25, pytest.approx(0.75))
