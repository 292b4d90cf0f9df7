"""If these fail, `whisper-steer fit` does not end in an artifact that loads and steers the model it was made for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import random_sae
from whisper.model import Whisper

from whisper_steer.data.clips import Clip
from whisper_steer.data.pack import PACK
from whisper_steer.data.splits import select
from whisper_steer.encoders.fingerprint import bfloat16_fingerprint, encoder_fingerprint
from whisper_steer.errors import FitError
from whisper_steer.fit.pipeline import PACK_IS_HARDER, Plan, fit, held_out
from whisper_steer.gate.kinds import Linear
from whisper_steer.sae.model import SAE
from whisper_steer.sae.plan import Plan as Training
from whisper_steer.steer.artifact import Artifact
from whisper_steer.steer.steering import Steering

pytestmark = pytest.mark.usefixtures("loud_is_speech")

PLAN = Plan(
    scenes=6,
    more_windows=4,
    speech_windows=4,
    nonspeech_windows=4,
    held_out=4,
    recordings=1,
    hard=1,
    strength_windows=2,
    training=Training(k=4, expansion=2, steps=20, batch=256),
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


def test_an_artifact_comes_out_whole(tiny_model: Whisper, clips: list[Clip], tmp_path: Path) -> None:
    artifact = fit(tiny_model, clips, tmp_path / "work", name="tiny", plan=PLAN)
    loaded = Artifact.load(artifact.save(tmp_path / "artifact"))
    loaded.check(encoder_fingerprint(tiny_model.encoder))
    loaded.check(bfloat16_fingerprint(tiny_model.encoder))
    assert (loaded.hook_point, loaded.gate_point) == ("ln_post", "blocks.0")
    compared = loaded.info["gates_compared"]
    best = min(compared, key=lambda kind: compared[kind]["cost"])
    assert loaded.gate.kind == {"dense": "linear", "conv": "conv"}[best]
    assert loaded.calibration.utterances >= PLAN.held_out
    speakers = {row["stratum"]: row["speakers"] for row in loaded.info["strata"]}
    assert speakers["noisy"] == speakers["far"] == PLAN.held_out
    assert loaded.info["selected_by"] == "effect on the decoder"
    effects = [row["effect"] for row in loaded.info["latents"]]
    assert effects == sorted(effects, reverse=True)
    steering = Steering(loaded, max_suppressed_speech=0.5)
    hearing = steering.listen(steering.prefix(tiny_model.encoder), clips[0].samples())
    assert np.isfinite(hearing.evidence).all()


@pytest.mark.slow
def test_edits_may_be_kept(tiny_model: Whisper, clips: list[Clip], tmp_path: Path) -> None:
    """A new gate must not cost the hours of a new SAE, nor change what steering does."""
    first = fit(tiny_model, clips, tmp_path / "a", name="tiny", plan=PLAN)
    again = Artifact.load(first.save(tmp_path / "first"))
    second = fit(tiny_model, clips, tmp_path / "b", name="tiny", plan=replace(PLAN, seed=1), edits=again)
    for name in ("sign", "clamp_value", "typical", "mean_difference"):
        assert torch.equal(getattr(second.edits, name), getattr(first.edits, name))
    assert torch.equal(second.edits.silence.change, first.edits.silence.change)
    assert second.strengths == first.strengths
    assert second.info["sae"] == first.info["sae"]
    assert not torch.equal(second.gate.weight, first.gate.weight)


def test_a_gate_trained_elsewhere_is_calibrated_as_it_is(
    tiny_model: Whisper, clips: list[Clip], tmp_path: Path
) -> None:
    n_state = tiny_model.dims.n_audio_state
    weight = torch.randn(n_state, generator=torch.Generator().manual_seed(0))
    gate = Linear(torch.zeros(n_state), weight, torch.zeros(()))
    fitted = fit(tiny_model, clips, tmp_path, name="tiny", gate_point="blocks.1", gate=gate, plan=PLAN)
    assert (fitted.gate, fitted.gate_point) == (gate, "blocks.1")
    assert list(fitted.info["gates_compared"]) == ["linear"]
    assert fitted.calibration.utterances >= PLAN.held_out
    other = Linear(torch.zeros(n_state + 1), torch.zeros(n_state + 1), torch.zeros(()))
    with pytest.raises(FitError, match="width 33, this encoder has 32"):
        fit(tiny_model, clips, tmp_path, name="tiny", gate=other, plan=PLAN)


def test_a_top_k_sae_of_raw_inputs_becomes_one_that_steers(
    tiny_model: Whisper, clips: list[Clip], tmp_path: Path
) -> None:
    """As those of AudioSAE and dictionary_learning are; only some latents are ever computed from the artifact."""
    state = random_sae().state_dict() | {"mean": torch.zeros(32), "threshold": torch.zeros(())}
    sae = SAE.of(state, 4, "topk", 1.0)
    sae.about = {"format": "AudioSAE"}
    gate = Linear(torch.zeros(32), torch.ones(32), torch.zeros(()))
    given = {"hook_point": "blocks.1", "gate_point": "blocks.1", "gate": gate, "plan": PLAN}
    fitted = fit(tiny_model, clips, tmp_path / "work", name="tiny", sae=sae, **given)
    loaded = Artifact.load(fitted.save(tmp_path / "artifact"))
    assert loaded.info["sae"]["from"] == {"format": "AudioSAE"}
    assert loaded.info["sae"]["calibrated"]["k"] == 4
    assert loaded.info["sae"]["mean_active"] == pytest.approx(4, abs=3)
    used = loaded.load_sae()
    assert used.config.activation == "threshold"
    h = torch.randn(1, 20, 32, generator=torch.Generator().manual_seed(1)) * 3
    indices = torch.tensor([row["latent"] for row in loaded.info["latents"]]).sort().values
    z, _ = loaded.edits.latents.encode(h)
    torch.testing.assert_close(
        z, used.encode(h)[..., indices], atol=0.02, rtol=0.02
    )  # the SAE lies in float16
    assert torch.isfinite(Steering(loaded, max_suppressed_speech=0.5).edit(h)).all()


@pytest.mark.slow
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
    assert artifact.gate.kind == Linear.kind
    assert artifact.info["gates_compared"] == {}
    assert artifact.info["calibration"]["harder_than_people"] == PACK_IS_HARDER
    own = fit(tiny_model, clips, tmp_path / "own", name="tiny", plan=PLAN)
    assert "harder_than_people" not in own.info["calibration"]


def test_clips_that_choose_do_not_calibrate(clips: list[Clip]) -> None:
    """Else the promise is that of the best of two gates on its own clips: more than it says."""
    speech, nonspeech = (select(clips, kind, "choose") for kind in ("speech", "nonspeech"))
    choosing, calibrating = held_out(speech, nonspeech, PLAN)
    assert {c.kind for c in choosing} == {c.kind for c in calibrating} == {"speech", "nonspeech"}
    for kind in ("speech", "nonspeech"):
        groups = [{c.group for c in part if c.kind == kind} for part in (choosing, calibrating)]
        assert groups[0].isdisjoint(groups[1])
    lone = [replace(clip, group="one") for clip in speech]
    choosing, calibrating = held_out(lone, nonspeech, PLAN)
    assert choosing == [] and len(calibrating) == 8
